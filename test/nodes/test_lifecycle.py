"""Transitions of a node that succeed, are refused, and fail. The node runs in this process."""

import pytest
import rclpy
from lifecycle_msgs.msg import State
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import Empty

from vima_ros.errors import VimaError
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.manager.parameters import ManagerParameters

SUCCESS, FAILURE, ERROR = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)


class Lamp(VimaNode[ManagerParameters]):
    """Shines while it is active; each of its steps raises what the test puts into ``errors``."""

    name = "manager"
    parameters_type = ManagerParameters

    def __init__(self):
        super().__init__()
        self.errors, self.calls, self.shines, self.states = {}, [], False, []

    def step(self, name):
        self.calls.append(name)
        self.states.append(self.lifecycle_state)
        if name in self.errors:
            raise self.errors[name]

    def configure(self):
        self.create_publisher(Empty, "light", 1)
        self.resources.callback(self.step, "close")
        self.step("configure")

    def activated(self):
        self.shines = True
        self.step("activated")

    def deactivated(self, how):
        self.shines = False
        self.step(f"deactivated: {how}")

    def hold(self, reason):
        self.step("hold")

    def publishers_of_light(self):
        return sum(p.topic_name.endswith("/light") for p in self.publishers)


@pytest.fixture
def lamp():
    rclpy.init(args=["lamp", "--ros-args", "-r", "__ns:=/lifecycle"])
    node = Lamp()
    try:
        yield node
    finally:
        node.errors = {}
        node.end()
        node.destroy_node()
        rclpy.try_shutdown()


def test_a_node_is_active_after_activated_has_returned(lamp):
    assert lamp.trigger_configure() == SUCCESS
    assert lamp.trigger_activate() == SUCCESS
    assert lamp.active
    assert lamp.states[-1] == State.TRANSITION_STATE_ACTIVATING
    assert lamp.trigger_deactivate() == SUCCESS
    assert lamp.trigger_cleanup() == SUCCESS
    assert lamp.calls == ["configure", "activated", "deactivated: deactivated", "close"]
    assert lamp.publishers_of_light() == 0


@pytest.mark.parametrize("error", [VimaError("BUSY", "no"), RuntimeError("broken")])
def test_an_activation_that_raises_is_undone_and_may_succeed_later(lamp, error, capfd):
    lamp.trigger_configure()
    lamp.errors = {"activated": error}
    assert lamp.trigger_activate() == FAILURE
    assert lamp.lifecycle_state == State.PRIMARY_STATE_INACTIVE
    assert not lamp.shines
    log = capfd.readouterr().err
    assert "cannot activate: " in log
    assert ("BUSY: no" in log) or ("RuntimeError: broken" in log)
    lamp.errors = {}
    assert lamp.trigger_activate() == SUCCESS
    assert lamp.active
    assert lamp.shines


def test_a_configuration_that_raises_leaves_nothing_behind(lamp):
    lamp.errors = {"configure": RuntimeError("broken")}
    assert lamp.trigger_configure() == FAILURE
    assert lamp.lifecycle_state == State.PRIMARY_STATE_UNCONFIGURED
    assert lamp.calls == ["configure", "close"]
    assert lamp.publishers_of_light() == 0


@pytest.mark.parametrize("failing", ["deactivated: deactivated", "deactivated: not activated"])
def test_a_transition_that_fails_holds_and_releases_and_the_node_can_begin_anew(lamp, failing):
    lamp.trigger_configure()
    lamp.errors = {failing: RuntimeError("broken")}
    if failing == "deactivated: deactivated":
        lamp.trigger_activate()
        assert lamp.trigger_deactivate() == ERROR
    else:
        lamp.errors["activated"] = VimaError("BUSY", "no")
        assert lamp.trigger_activate() == ERROR
    assert lamp.lifecycle_state == State.PRIMARY_STATE_UNCONFIGURED
    assert lamp.calls[-2:] == ["hold", "close"]
    assert lamp.publishers_of_light() == 0
    lamp.errors = {}
    assert lamp.trigger_configure() == SUCCESS
    assert lamp.trigger_activate() == SUCCESS
    assert lamp.active


@pytest.mark.parametrize("failing", ["hold", "close"])
def test_a_node_that_cannot_even_release_is_finalized_without_handles(lamp, failing):
    lamp.trigger_configure()
    lamp.trigger_activate()
    lamp.errors = {"deactivated: deactivated": RuntimeError(), failing: RuntimeError()}
    lamp.trigger_deactivate()
    assert lamp.lifecycle_state == State.PRIMARY_STATE_FINALIZED
    assert "close" in lamp.calls
    assert lamp.publishers_of_light() == 0


def test_a_node_that_was_told_to_use_simulation_time_keeps_its_clock(lamp):
    lamp.trigger_configure()
    lamp.set_parameters([Parameter("use_sim_time", value=True)])
    lamp.trigger_cleanup()
    topics = [subscription.topic_name for subscription in lamp.subscriptions]
    assert "/clock" in topics


def test_a_node_with_a_bad_parameter_is_destroyed(monkeypatch):
    destroyed = []
    monkeypatch.setattr(Lamp, "destroy_node", lambda node: destroyed.append(node))
    rclpy.init(args=["lamp", "--ros-args", "-r", "__ns:=/bad", "-p", "heartbeat_timeout:=-1.0"])
    try:
        with pytest.raises(VimaError, match="heartbeat_timeout"):
            Lamp()
        assert [type(node) for node in destroyed] == [Lamp]
    finally:
        monkeypatch.undo()
        rclpy.try_shutdown()
