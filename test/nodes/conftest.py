"""Real processes on a domain of their own; whatever a test starts ends with it."""

import os
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS 2: run `make test`, which prepares it")
pytest.importorskip("vima_msgs", reason="vima_msgs is not built: run `make test`")

from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.nodes.common.dds import prepare_ros
from vima_ros.nodes.common.ros_domain import free_domain, isolate_ros_domain

os.environ.pop("ROS_DOMAIN_ID", None)
isolate_ros_domain()
prepare_ros()  # Fast DDS reads its profile once per process, with the first node


@pytest.fixture(scope="module", autouse=True)
def domain():
    """Each module has its own: what killed processes leave in shared memory harms no other."""
    os.environ["ROS_DOMAIN_ID"] = str(free_domain())


# A stall of the test machine takes no node for dead, which would stop the arm until a resume.
STALL_TOLERANT = {"heartbeat_timeout": 30.0, "manager_timeout": 30.0, "node_timeout": 30.0}
ALL_NODES = ["tabletop", "perception", "prompt", "policy", "arm", "manager"]


class Suite:
    """All nodes up in simulation, and a client that talks to them."""

    def __init__(self, folder: Path, liveness: dict[str, float]) -> None:
        self.parameters = {
            "real_time_factor": 10.0,
            "max_steps": 1,
            "checkpoint": "random",
            "library": str(folder / "assets"),
            **liveness,
        }
        self.processes = NodeProcesses(folder, params_file="free_gripper")
        self.processes.start(ALL_NODES, self.parameters)
        self.client = Client("test")

    def wait_until_up(self, names=ALL_NODES) -> None:
        self.client.wait_for_active(names, 120, self.processes.check_alive)

    def close(self) -> None:
        self.client.close()
        self.processes.stop()


@pytest.fixture(scope="module")
def suite(tmp_path_factory, request):
    """Stall-tolerant, unless the module's LIVENESS says otherwise."""
    liveness = getattr(request.module, "LIVENESS", STALL_TOLERANT)
    running = Suite(tmp_path_factory.mktemp("logs"), liveness)
    try:
        running.wait_until_up()
        yield running
    finally:
        running.close()
