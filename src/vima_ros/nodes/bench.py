"""`bench`: what the Fast DDS profile changes for camera images between two processes."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image

from vima_ros.nodes.client import Client
from vima_ros.nodes.environment import PROFILE_VARIABLE, keep_to_ourselves, use_fastdds_profile
from vima_ros.replay.report import format_table

COUNT, PERIOD = 60, 1 / 30  # images, at a camera's usual pace [s]
WIDTH, HEIGHT = 640, 480  # [px]
NO_CHANGE = (
    '<dds xmlns="http://www.eprosima.com"><profiles><participant profile_name="same" '
    'is_default_profile="true"><rtps/></participant></profiles></dds>'
)
POLICIES = {"reliable": ReliabilityPolicy.RELIABLE, "best effort": ReliabilityPolicy.BEST_EFFORT}


def _profile(policy: str) -> QoSProfile:
    return QoSProfile(depth=5, reliability=POLICIES[policy])


def send(policy: str) -> None:
    """Publish images stamped with the monotonic clock, which processes of a machine share."""
    with Client("bench_sender") as client:
        publisher = client.publisher(Image, "bench/image", _profile(policy))
        client.wait_until(lambda: publisher.get_subscription_count() > 0, "a receiver")
        message = Image(height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH)
        message.data = bytes(3 * WIDTH * HEIGHT)
        for _ in range(COUNT):
            now = time.monotonic_ns()
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 10**9)
            publisher.publish(message)
            time.sleep(PERIOD)
        client.wait_until(
            lambda: publisher.get_subscription_count() == 0, "the receiver's end", 30
        )


def receive(policy: str) -> list[float]:
    """Age of each image on arrival [ms], until none has come for a second."""
    ages: list[float] = []

    def take(message: Image) -> None:
        stamp = message.header.stamp
        ages.append((time.monotonic_ns() - stamp.sec * 10**9 - stamp.nanosec) / 1e6)

    with Client("bench_receiver") as client:
        client.node.create_subscription(Image, "bench/image", take, _profile(policy))
        client.wait_until(lambda: client.node.count_publishers("bench/image") > 0, "a sender")
        deadline = time.monotonic() + COUNT * PERIOD + 3.0
        while len(ages) < COUNT and time.monotonic() < deadline:
            time.sleep(0.05)
    return ages


def _measure(policy: str, profile: str) -> list[str]:
    environment = os.environ | {PROFILE_VARIABLE: profile}
    command = [sys.executable, "-m", "vima_ros.nodes.bench", "--policy", policy]
    sender = subprocess.Popen([*command, "--part", "send"], env=environment)
    try:
        out = subprocess.run(
            [*command, "--part", "receive"],
            env=environment,
            stdout=subprocess.PIPE,
            timeout=60,
            check=True,
        )
        sender.wait(60)
    finally:
        sender.kill()
    ages = json.loads(out.stdout)
    row = [Path(profile).name, policy, f"{len(ages)}/{COUNT}"]
    if len(ages) < 2:
        return [*row, "-", "-", "-"]
    quartiles = statistics.quantiles(ages, n=4)
    spread = f"{quartiles[0]:.1f}-{quartiles[2]:.1f}"
    return [*row, f"{statistics.median(ages):.1f}", spread, f"{max(ages):.1f}"]


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros bench``."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--part", choices=("send", "receive"), help=argparse.SUPPRESS)
    parser.add_argument("--policy", choices=tuple(POLICIES), help=argparse.SUPPRESS)
    options = parser.parse_args(remove_ros_args(args or sys.argv)[1:])
    keep_to_ourselves()
    use_fastdds_profile()
    if options.part == "send":
        send(options.policy)
    elif options.part == "receive":
        print(json.dumps(receive(options.policy)))
    else:
        print(f"{WIDTH}x{HEIGHT} rgb8 between two processes, {os.cpu_count()} cores, ", end="")
        print(f"{platform.processor() or platform.machine()}")
        with tempfile.TemporaryDirectory() as folder:
            empty = Path(folder) / "Fast DDS default"
            empty.write_text(NO_CHANGE)
            profiles = str(empty), os.environ[PROFILE_VARIABLE]
            rows = [_measure(policy, profile) for policy in POLICIES for profile in profiles]
        headings = ["profile", "reliability", "arrived", "median [ms]", "quartiles", "max"]
        print(format_table(headings, rows))


if __name__ == "__main__":
    main()
