"""An unexpected error in a callback of the arm node holds the robot; the node lives on."""

import threading

import rclpy
from geometry_msgs.msg import Pose

from vima_msgs.msg import ArmCommand, ArmState, PolicyAction
from vima_ros.client.client import Client
from vima_ros.nodes.arm.node import ArmNode
from vima_ros.nodes.common import qos
from vima_ros.nodes.common.executor import make_executor, spin


class BrokenArmNode(ArmNode):
    """Fails on what the robot reports with the message "break"."""

    def configure(self):
        super().configure()
        self.create_subscription(ArmState, "arm_state", self.fail, qos.RELIABLE)

    def fail(self, message):
        if message.message == "break":
            raise RuntimeError("broken on purpose")


def at(x, y):
    pose = Pose()
    pose.position.x, pose.position.y, pose.orientation.w = x, y, 1.0
    return pose


def test_an_error_in_a_callback_stops_the_active_motion():
    rclpy.init(args=["arm", "--ros-args", "-r", "__ns:=/broken", "-p", "dry_run:=false"])
    node = BrokenArmNode()
    node.trigger_configure()
    node.trigger_activate()
    thread = threading.Thread(
        target=spin, args=(make_executor(node, node.context), node.spinning_ended)
    )
    thread.start()
    try:
        with Client("robot", "/broken") as robot:
            commands = robot.subscribe(ArmCommand, "arm_command")
            states = robot.subscribe(ArmState, "arm_state")
            reports = robot.create_publisher(ArmState, "arm_state")
            actions = robot.create_publisher(PolicyAction, "action")
            subscribers = {"arm_command": 1, "arm_state": 3}  # two of these: the arm node
            sent = {p.topic_name.split("/")[-1]: p for p in node.publishers}
            robot.wait_until(
                lambda: (
                    actions.get_subscription_count()
                    and reports.get_subscription_count() == subscribers["arm_state"]
                    and all(sent[t].get_subscription_count() == n for t, n in subscribers.items())
                ),
                "the arm node",
            )
            action = PolicyAction(prompt_id="test", pose0=at(0.5, 0.1), pose1=at(0.5, -0.1))
            action.observation_stamp = robot.node.get_clock().now().to_msg()
            actions.publish(action)
            command = commands.wait(lambda m: m.waypoints, 15, "motion")
            reports.publish(ArmState(state=ArmState.EXECUTING, command_id=command.command_id))
            reports.publish(ArmState(state=ArmState.EXECUTING, message="break"))
            commands.wait(lambda m: not m.waypoints, 15, "hold")
            stop = states.wait(lambda m: m.judged and m.state == ArmState.STOPPED, 15, "stop")
            assert "unexpected error" in stop.message
            before = states.count
            action.step = 1
            actions.publish(action)
            refusal = states.wait(lambda m: m.judged, 15, "refusal", before)
            assert (refusal.state, refusal.code) == (ArmState.REFUSED, "STOPPED")
    finally:
        node.stop_spinning("end of the test")
        thread.join()
        node.end()
        node.destroy_node()
        rclpy.try_shutdown()


def test_a_stop_outlasts_cleanup_until_resume():
    rclpy.init(args=["arm", "--ros-args", "-r", "__ns:=/stopped"])
    node = ArmNode()
    try:
        node.trigger_configure()
        node.trigger_activate()
        node.motion.stop("a person's stop")
        node.trigger_deactivate()
        node.trigger_cleanup()
        node.trigger_configure()
        assert node.motion.snapshot().stop_reason == "a person's stop"
        assert node.motion.resume() == "resumed after a stop: a person's stop"
        assert node.motion.snapshot().stop_reason == ""
    finally:
        node.stop_spinning("end of the test")
        node.end()
        node.destroy_node()
        rclpy.try_shutdown()
