"""The suite in simulation, with a relay before its cameras and its robot that can do harm."""

import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS 2: run `make test`, which prepares it")
pytest.importorskip("vima_msgs", reason="vima_msgs is not built: run `make test`")

sys.path.insert(0, str(Path(__file__).parent))

from harness import FaultySuite

from vima_ros.nodes.common.ros_domain import free_domain, isolate_ros_domain

os.environ.pop("ROS_DOMAIN_ID", None)
isolate_ros_domain()


def pytest_itemcollected(item):
    item.add_marker(pytest.mark.faults)


@pytest.fixture(scope="module", autouse=True)
def domain():
    """Each module has its own: what killed processes leave in shared memory harms no other."""
    os.environ["ROS_DOMAIN_ID"] = str(free_domain())


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    running = FaultySuite(tmp_path_factory.mktemp("logs"))
    try:
        running.wait_until_up()
        yield running
    finally:
        running.close()


@pytest.fixture
def suite(world):
    """Healthy, at rest, and checked afterwards for what must never happen."""
    world.heal()
    yield world
    world.heal()
    world.check_commands()
