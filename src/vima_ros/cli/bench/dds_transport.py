"""Effect of the Fast DDS profile on camera images between two processes."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from vima_ros.client.client import Client
from vima_ros.nodes.common.dds import PROFILE_VARIABLE, use_fastdds_profile
from vima_ros.nodes.common.ros_domain import isolate_ros_domain
from vima_ros.program import run_program
from vima_ros.tables import format_table

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
        publisher = client.create_publisher(Image, "bench/image", _profile(policy))
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
    """Receive images, all or those that come in time; return their ages on arrival [ms]."""
    ages: list[float] = []
    complete = threading.Event()

    def take(message: Image) -> None:
        stamp = message.header.stamp
        ages.append((time.monotonic_ns() - stamp.sec * 10**9 - stamp.nanosec) / 1e6)
        if len(ages) == COUNT:
            complete.set()

    with Client("bench_receiver") as client:
        client.node.create_subscription(Image, "bench/image", take, _profile(policy))
        client.wait_until(lambda: client.node.count_publishers("bench/image") > 0, "a sender")
        complete.wait(COUNT * PERIOD + 3.0)  # best effort may lose some
    return ages


def _measure(policy: str, profile: str) -> dict[str, Any]:
    """Measure ages of arrivals [ms] with one reliability and one profile."""
    environment = os.environ | {PROFILE_VARIABLE: profile}
    command = [sys.executable, "-m", "vima_ros.cli.bench.dds_transport", policy]
    sender = subprocess.Popen([*command, "send"], env=environment)
    try:
        out = subprocess.run(
            [*command, "receive"],
            env=environment,
            stdout=subprocess.PIPE,
            timeout=60,
            check=True,
        )
        sender.wait(60)
    finally:
        sender.kill()
    ages = json.loads(out.stdout)
    return {"profile": Path(profile).name, "reliability": policy, "sent": COUNT, "ages": ages}


def run() -> list[dict[str, Any]]:
    """Measure both reliabilities with Fast DDS's own profile and with ours."""
    isolate_ros_domain()
    use_fastdds_profile()
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "Fast DDS default"
        empty.write_text(NO_CHANGE)
        profiles = str(empty), os.environ[PROFILE_VARIABLE]
        return [_measure(policy, profile) for policy in POLICIES for profile in profiles]


def show(measured: list[dict[str, Any]]) -> list[str]:
    """Return the settings and a table of the results of ``run``."""
    rows = []
    for case in measured:
        ages = case["ages"]
        row = [case["profile"], case["reliability"], f"{len(ages)}/{case['sent']}"]
        if len(ages) < 2:
            rows.append([*row, "-", "-", "-"])
            continue
        quartiles = statistics.quantiles(ages, n=4)
        spread = f"{quartiles[0]:.1f}-{quartiles[2]:.1f}"
        rows.append([*row, f"{statistics.median(ages):.1f}", spread, f"{max(ages):.1f}"])
    headings = ["profile", "reliability", "arrived", "median [ms]", "quartiles", "max"]
    where = (
        f"{WIDTH}x{HEIGHT} rgb8 between two processes, {os.cpu_count()} cores, "
        f"{platform.processor() or platform.machine()}"
    )
    return [where, format_table(headings, rows)]


def main(args: list[str]) -> None:
    """Run one end: the reliability, then ``send`` or ``receive``, which prints ages as JSON."""
    policy, part = args
    if part == "send":
        send(policy)
    else:
        print(json.dumps(receive(policy)))


if __name__ == "__main__":
    run_program(lambda: main)
