"""The tabletop lives by the clock it is given."""

from by_hand import bring_up
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.nodes.common import conversions, qos

PERIOD = 50_000_000  # [ns]


def test_pictures_come_with_simulation_time_and_only_with_it(tmp_path):
    with (
        NodeProcesses(tmp_path, params_file="tabletop", use_sim_time=True) as processes,
        Client("clock") as client,
    ):
        processes.start(["tabletop"], {"camera_rate": 5.0})
        clock = client.create_publisher(Clock, "/clock")
        pictures = client.subscribe(Image, "top/image_raw", qos.SENSOR_DATA)
        bring_up(client, "tabletop")
        client.wait_until(lambda: clock.get_subscription_count() > 0, "the tabletop's clock")
        assert pictures.count == 0  # time has stood still so far

        told = [1_000_000_000_000]

        def tick():
            told.append(told[-1] + PERIOD)
            clock.publish(Clock(clock=conversions.ns_to_stamp(told[-1])))

        client.node.create_timer(0.02, tick)
        pictures.wait(lambda m: pictures.count >= 4, 30, "four pictures")
        stamps = [conversions.stamp_to_ns(m.header.stamp) for m in list(pictures.messages)]
        assert set(stamps) <= set(told)
        # 5 Hz of that time; the first may come late in its period.
        assert stamps[-1] - stamps[0] > (len(stamps) - 2) * 4 * PERIOD
