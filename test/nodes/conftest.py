"""Real processes on a domain of their own; whatever a test starts ends with it."""

import os
from pathlib import Path

import pytest
from shared_suite import MODULES

pytest.importorskip("rclpy", reason="no ROS 2: run `make test`, which prepares it")
pytest.importorskip("vima_msgs", reason="vima_msgs is not built: run `make test`")

from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from vima_msgs.msg import ArmState
from vima_msgs.srv import DeleteAsset, ListAssets
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.nodes.common.dds import prepare_ros
from vima_ros.nodes.common.parameter_defaults import default_values
from vima_ros.nodes.common.ros_domain import free_domain, isolate_ros_domain

os.environ.pop("ROS_DOMAIN_ID", None)
isolate_ros_domain()
prepare_ros()  # Fast DDS reads its profile once per process, with the first node


@pytest.fixture(scope="module", autouse=True)
def domain():
    """Each module has its own: what killed processes leave in shared memory harms no other.

    Those that share a suite are on its domain.
    """
    if not RUNNING:
        os.environ["ROS_DOMAIN_ID"] = str(free_domain())


# A stall of the test machine takes no node for dead, which would stop the arm until a resume.
STALL_TOLERANT = {"heartbeat_timeout": 30.0, "manager_timeout": 30.0, "node_timeout": 30.0}
WORLD = ("task", "level", "scene", "seed", "send_prompt")  # parameters of what is simulated
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

    def reset(self) -> None:
        """Nearly as it started: no episode, no stop, no asset; the first scene, a new client."""
        self.processes.check_alive()
        self.client.close()
        self.client = Client("test")
        for name in ("reset_episode", "resume"):
            assert self._call(Trigger, name).success
        for asset in self._call(ListAssets, "list_assets").assets:
            assert self._call(DeleteAsset, "delete_asset", name=asset.name).success
        states = self.client.subscribe(ArmState, "arm_state")
        values = {k: v for k, v in default_values("tabletop").items() if k in WORLD}
        parameters = [Parameter(k, value=v).to_parameter_msg() for k, v in values.items()]
        self._call(SetParameters, "tabletop/set_parameters", parameters=parameters)
        assert self._call(Trigger, "reset").success
        text = f"scene {values['scene']}, seed {values['seed']}"
        states.wait(lambda m: m.message == text, 15, text)

    def _call(self, kind, service, **fields):
        return self.client.call(kind, service, kind.Request(**fields))

    def close(self) -> None:
        self.client.close()
        self.processes.stop()


RUNNING: list[Suite] = []  # one at most


def stop_suite() -> None:
    while RUNNING:
        RUNNING.pop().close()


@pytest.fixture(scope="module")
def suite(tmp_path_factory, request):
    """Stall-tolerant, unless the module's LIVENESS says otherwise; some modules share it."""
    try:
        if RUNNING:
            RUNNING[0].reset()
        else:
            liveness = getattr(request.module, "LIVENESS", STALL_TOLERANT)
            RUNNING.append(Suite(tmp_path_factory.mktemp("logs"), liveness))
            RUNNING[0].wait_until_up()
    except BaseException:
        stop_suite()  # the next module that shares it is to start a new one
        raise
    return RUNNING[0]


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """End the suite once the tests that follow have no use for it."""
    modules = {item.path.name, nextitem.path.name if nextitem else ""}
    if len(modules) > 1 and not modules <= {*MODULES}:
        stop_suite()


def pytest_sessionfinish():
    stop_suite()  # of a session that was interrupted
