"""What the manager leaves alone, whom it waits for, and two nodes of one name in a namespace."""

import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_prefix
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState

from vima_msgs.msg import ArmCommand, Heartbeat
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses

ACTIVE, FINALIZED = 3, 4
UP = ["prompt", "arm"]
MANAGED = [*UP, "perception"]  # which is started by none but the tests


class Suite:
    def __init__(self, folder):
        self.folder = folder
        self.processes = NodeProcesses(folder, params_file="free_gripper")
        self.parameters = {"nodes": MANAGED, "library": str(folder / "assets"), "max_speed": 1}
        self.processes.start([*UP, "manager"], self.parameters)
        self.client = Client("test")
        self.diagnostics = self.client.subscribe(DiagnosticArray, "/diagnostics")
        self.beats = self.client.subscribe(Heartbeat, "heartbeat")
        self.commands = self.client.subscribe(ArmCommand, "arm_command")

    def close(self):
        self.client.close()
        self.processes.stop()

    def wait_for_log(self, name, text):
        self.client.wait_until(lambda: text in self.processes.log(name), f"{text!r} of {name}", 60)

    def status_of(self, name):
        """The next word of the manager on a node."""

        def of_manager(message):
            return any(status.name == "/vima/manager: nodes" for status in message.status)

        message = self.diagnostics.wait(of_manager, 15, "diagnostics", self.diagnostics.count)
        (status,) = (s for s in message.status if s.name == "/vima/manager: nodes")
        return {value.key: value.value for value in status.values}[name]

    def change_state(self, name, transition):
        request = ChangeState.Request(transition=Transition(id=transition))
        return self.client.call(ChangeState, f"{name}/change_state", request).success

    def wait_for_state(self, name, state):
        self.beats.wait(
            lambda m: m.node == f"/vima/{name}" and m.state == state,
            60,
            f"{name} in state {state}",
            self.beats.count,
        )

    @contextmanager
    def program(self, name, *words):
        """One more process, and the file of its log."""
        path = self.folder / f"another_{name}.log"
        program = Path(get_package_prefix("vima_ros")) / "lib" / "vima_ros" / name
        command = [program, "--ros-args", "-r", "__ns:=/vima", *words]
        with path.open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield process, path
        finally:
            process.kill()
            process.wait()

    def wait_for_text(self, path, text):
        self.client.wait_until(lambda: text in path.read_text(), f"{text!r} in {path}", 60)


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    running = Suite(tmp_path_factory.mktemp("logs"))
    try:
        running.client.wait_for_active([*UP, "manager"], 120, running.processes.check_alive)
        yield running
    finally:
        running.close()


def test_the_limits_in_force_are_logged(suite):
    suite.wait_for_log("arm", "limits in force (from ")
    (line,) = (x for x in suite.processes.log("arm").splitlines() if "limits in force" in x)
    assert "free_gripper.yaml, -p): " in line
    assert "workspace x 0.25 to 0.75, y -0.5 to 0.5 m" in line
    for words in ("max_speed 1 m/s", "dry_run false", "require_confirmation false", "max_age 5 s"):
        assert words in line


def test_a_node_that_is_not_started_is_named(suite):
    suite.wait_for_log("manager", "waiting for perception (no heartbeat) in namespace /vima")
    assert suite.status_of("perception") == "no heartbeat"


@pytest.mark.slow
def test_an_undeclared_parameter_is_refused_once_with_the_nearest(suite, tmp_path):
    robot = tmp_path / "robot.yaml"
    robot.write_text("/**/perception:\n  ros__parameters:\n    min_skore: 0.5\n")
    with suite.program("perception", "--params-file", str(robot)) as (_, log):
        suite.wait_for_text(log, f"min_skore ({robot}, line 3, section /**/perception)")
        assert "nearest: min_score" in log.read_text()
        suite.wait_for_log("manager", "perception refused to configure")
        for _ in range(5):  # it is asked again after 3 s
            assert suite.status_of("perception") in ("unconfigured", "configuring")
        assert log.read_text().count("cannot configure") == 1
    assert suite.processes.log("manager").count("refused to configure") == 1
    assert [suite.status_of(name) for name in UP] == ["active", "active"]


def test_an_absent_file_ends_the_start_with_a_sentence(suite, tmp_path):
    with suite.program("arm", "--params-file", str(tmp_path / "absent.yaml")) as (process, log):
        assert process.wait(60) == 2
        sentence = f"arm: BAD_PARAMETER_FILE: {tmp_path}/absent.yaml cannot be read: "
        assert log.read_text().startswith(sentence)
        assert len(log.read_text().splitlines()) == 1


def deaths_in(log):
    """Number of deaths that the manager logged; not of nodes that it waits for, "(died)"."""
    return log.count(" died: ") + log.count(" died and ")


def test_a_second_node_of_a_name_refuses_and_changes_nothing(suite):
    deaths = deaths_in(suite.processes.log("manager"))
    before = suite.commands.count
    me = f"process {suite.processes.pid('arm')} on {socket.gethostname()}"
    with suite.program("arm") as (process, log):
        suite.wait_for_text(log, f"{me} runs another /vima/arm")
        suite.wait_for_log("arm", f"process {process.pid} on ")
        refusal = f"cannot configure: DUPLICATE_NODE: {me}"
        for _ in range(30):  # both are asked, once the client knows the second one's service
            assert not suite.change_state("arm", Transition.TRANSITION_CONFIGURE)
            assert suite.status_of("arm") == "active"
            if refusal in log.read_text():
                break
        assert log.read_text().count(refusal) == 1
    assert suite.processes.log("arm").count(f"process {process.pid} on ") == 1
    assert deaths_in(suite.processes.log("manager")) == deaths
    assert suite.commands.count == before


def test_a_second_manager_ends_and_the_first_continues(suite):
    me = f"process {suite.processes.pid('manager')} on {socket.gethostname()}"
    with suite.program("manager") as (process, log):
        assert process.wait(60) == 2
        assert f"DUPLICATE_NODE: {me} runs another /vima/manager" in log.read_text()
        assert "Traceback" not in log.read_text()
    for _ in range(3):
        assert suite.status_of("arm") == "active"
    assert "manager " not in suite.processes.log("arm")  # neither ended nor died


def test_a_deactivated_node_stays_inactive_until_a_person_activates_it(suite):
    assert suite.change_state("arm", Transition.TRANSITION_DEACTIVATE)
    suite.wait_for_log("manager", "arm was deactivated by a person and stays inactive")
    for _ in range(7):  # once a second
        assert suite.status_of("arm") == "deactivated by a person"
    assert suite.status_of("prompt") == "active"
    assert suite.change_state("arm", Transition.TRANSITION_ACTIVATE)
    suite.wait_for_state("arm", ACTIVE)
    assert suite.status_of("arm") == "active"


def test_a_killed_node_is_activated_again_although_its_heartbeat_is_recent(suite):
    suite.processes.kill("prompt")
    suite.processes.start(["prompt"], suite.parameters)
    suite.wait_for_state("prompt", ACTIVE)
    assert "DUPLICATE_NODE" not in suite.processes.log("prompt")


@pytest.mark.slow
def test_a_node_with_another_workspace_is_not_brought_up_and_one_with_the_same_is(suite):
    before = suite.commands.count
    with suite.program("perception", "-p", "workspace_max:=[0.8, 0.5]") as (_, log):
        suite.wait_for_log("manager", "perception is not brought up: CONFIG_MISMATCH: ")
        (line,) = (x for x in suite.processes.log("manager").splitlines() if "MISMATCH" in x)
        assert "workspace_max is [0.8, 0.5] on perception and [0.75, 0.5] on arm; valid: " in line
        for _ in range(5):  # it is tried again after 3 s
            assert suite.status_of("perception") == "unconfigured"
        assert "cannot configure" not in log.read_text()
    assert [suite.status_of(name) for name in UP] == ["active", "active"]
    assert suite.processes.log("manager").count("CONFIG_MISMATCH") == 1
    with suite.program("perception", "-p", "workspace_max:=[0.75, 0.5]"):
        suite.wait_for_state("perception", ACTIVE)
    assert suite.commands.count == before
