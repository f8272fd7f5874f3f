"""Programs beside no suite report what they wait for; a namespace is one however it is spelled."""

import os
import subprocess
import threading
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_prefix
from lifecycle_msgs.msg import State
from std_srvs.srv import Trigger

from vima_msgs.msg import Heartbeat, Prompt
from vima_ros.client import client as client_module
from vima_ros.client import execute_prompt, message_buffer
from vima_ros.client.client import Client
from vima_ros.client.execute_prompt import ExecutePromptGoal
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.errors import VimaError

PROGRAMS = Path(get_package_prefix("vima_ros")) / "lib" / "vima_ros"


@pytest.fixture
def alone(monkeypatch):
    """A client beside no suite, whose waits are reported at once and given up soon."""
    monkeypatch.setattr(message_buffer, "REPORT_DELAY", 0.0)
    monkeypatch.setattr(message_buffer, "REPORT_PERIOD", 0.0)
    for module in (client_module, execute_prompt):
        monkeypatch.setattr(module, "DISCOVERY_TIMEOUT", 0.05)
    with Client("alone", "right/") as client:
        yield client


def test_a_client_that_nothing_reaches_closes_at_once():
    client = Client("quiet")
    closing = threading.Thread(target=client.close, daemon=True)
    closing.start()
    closing.join(30)
    assert not closing.is_alive()


@pytest.mark.parametrize(
    ("wait", "what"),
    [
        (lambda c: c.call(Trigger, "stop", Trigger.Request()), "service /right/stop"),
        (lambda c: ExecutePromptGoal(c, Prompt()), "action /right/execute_prompt"),
        (lambda c: c.wait_until(lambda: False, "receiver", 0.05), "receiver"),
    ],
    ids=["service", "action", "graph"],
)
def test_what_is_waited_for_is_reported(alone, capsys, wait, what):
    with pytest.raises(VimaError, match=f"no {what} within") as error:
        wait(alone)
    assert error.value.code == "TIMEOUT"
    told = capsys.readouterr().err
    assert f"waiting for {what}" in told
    assert f"ROS_DOMAIN_ID={os.environ['ROS_DOMAIN_ID']})" in told


def test_an_answer_that_does_not_come_is_reported(alone, capsys, monkeypatch):
    monkeypatch.setattr(client_module, "DISCOVERY_TIMEOUT", 15.0)
    given_up = threading.Event()

    def respond(request, response):
        given_up.wait(30)
        return response

    alone.node.create_service(Trigger, "slow", respond)
    with pytest.raises(VimaError, match="service slow did not answer within"):
        alone.call(Trigger, "slow", Trigger.Request(), timeout=0.05)
    given_up.set()
    assert "waiting for the answer of service slow" in capsys.readouterr().err


def test_nodes_that_are_not_active_are_named_with_their_state(alone, capsys):
    beats = alone.create_publisher(Heartbeat, "heartbeat")
    told = ""

    def check():
        nonlocal told
        beats.publish(Heartbeat(node="/right/policy", state=State.PRIMARY_STATE_INACTIVE))
        told += capsys.readouterr().err
        if "policy (inactive)" in told:
            raise VimaError("REPORTED", told)

    with pytest.raises(VimaError) as end:
        alone.wait_for_active(["arm", "policy"], 30, check)
    assert end.value.code == "REPORTED"
    assert "nodes in namespace /right to become active: arm (no heartbeat), policy" in told


def test_a_callback_that_raises_ends_the_program_and_nothing_waits_for_its_thread(alone):
    beats = alone.subscribe(Heartbeat, "heartbeat")

    def raise_error(beat):
        raise BrokenPipeError

    alone.node.create_subscription(Heartbeat, "heartbeat", raise_error, 10)
    publisher = alone.create_publisher(Heartbeat, "heartbeat")

    def check():
        publisher.publish(Heartbeat())
        alone.check_spinning()

    with pytest.raises(BrokenPipeError):
        beats.wait(lambda beat: False, 30, "error", check=check)
    beats.close()


def test_a_program_beside_no_suite_reports_what_it_waits_for():
    program = subprocess.Popen(
        [PROGRAMS / "send_prompt", "Put it down.", "--namespace", "right"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        told = program.stderr.readline()  # the first thing it prints
    finally:
        program.kill()
        program.communicate()
    assert told.startswith("waiting for service /right/set_prompt; is the suite running?")


@pytest.mark.parametrize(
    ("nodes", "beside"), [("right/", "/right"), ("/a/b", "a/b"), ("/", "")], ids=repr
)
def test_processes_and_clients_meet_in_a_namespace(tmp_path, nodes, beside):
    with (
        NodeProcesses(tmp_path, params_file="free_gripper", namespace=nodes) as processes,
        Client("test", beside) as client,
    ):
        processes.start(["manager"])
        client.wait_for_active(["manager"], 60, processes.check_alive)


@pytest.mark.parametrize(
    "start",
    [
        lambda folder: NodeProcesses(folder, params_file="free_gripper", namespace="a-b"),
        lambda folder: Client("test", "a-b"),
    ],
    ids=["processes", "client"],
)
def test_what_is_no_namespace_is_refused(tmp_path, start):
    with pytest.raises(VimaError, match="namespace 'a-b'; valid:"):
        start(tmp_path)
