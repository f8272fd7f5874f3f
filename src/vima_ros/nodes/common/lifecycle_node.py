"""Base of all nodes: a lifecycle node with parameters, a heartbeat and diagnostics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from lifecycle_msgs.msg import State
from rclpy.clock import ClockChange, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.task import Future

from vima_ros.errors import VimaError
from vima_ros.nodes.common import parameter_checks, parameter_files, parameters
from vima_ros.nodes.common.diagnostics import (
    ERROR,
    OK,
    DiagnosticUpdater,
    FunctionStatus,
    PerformanceStatistics,
)
from vima_ros.nodes.common.duplicate_nodes import new_instance_id
from vima_ros.nodes.common.heartbeat import HeartbeatPublisher
from vima_ros.nodes.common.heartbeat_listener import HeartbeatListener
from vima_ros.nodes.common.managed_node import ManagedNode
from vima_ros.nodes.common.namespaces import NAMESPACE

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

P = TypeVar("P", bound="DataclassInstance")  # the node's parameters


class VimaNode(ManagedNode, Generic[P]):
    """Base of all nodes. A subclass names itself and implements ``configure`` and the callbacks.

    Callbacks run one after the other in one thread; only the heartbeat has a thread of its own,
    because a node that computes for seconds is not dead.
    """

    name: ClassVar[str]
    parameters_type: type[P]
    message_info: ClassVar[bool] = False  # whether callbacks take the message's info, too

    def __init__(self) -> None:
        super().__init__(self.name, NAMESPACE)
        # From files and arguments; None: not read by ``parameter_files.init``.
        self.parameter_overrides: list[parameter_files.Override] | None = None
        try:
            self.parameters: P = parameters.declare(self, self.name, self.parameters_type)
        except VimaError:
            self.destroy_node()
            raise
        parameters.follow_changes(self)
        self.statistics = PerformanceStatistics()
        self.spinning_ended: Future[None] = Future()
        self._awaits_duplicates = False
        self.instance_id = new_instance_id()
        self._heartbeats = HeartbeatListener(self, self.on_duplicate_node)
        self._jumps = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1)),
            post_callback=self._on_jump,
        )
        self._diagnostics = DiagnosticUpdater(self, self._collect_diagnostics)
        self._heartbeat = HeartbeatPublisher(self)

    # --- for subclasses

    def on_duplicate_node(self) -> None:
        """Withdraw: another node of this name was active before this one, unnoticed until now."""
        self.trigger_deactivate()

    def on_clock_jump_back(self) -> None:
        """Forget earlier stamps: simulation time began anew; called once configured."""

    def diagnose(self) -> Iterable[FunctionStatus]:
        """Return the status of each function of the node; called once configured.

        Those of its lifecycle and its ``statistics`` are published beside them.
        """
        return ()

    @property
    def lifecycle_state(self) -> int:
        """State as in lifecycle_msgs/State, for any thread.

        Unconfigured still while the node waits for others of its name before it configures.
        """
        waits, state = self._awaits_duplicates, super().lifecycle_state
        return State.PRIMARY_STATE_UNCONFIGURED if waits else state

    def check_configuration(self) -> None:
        """Raise VimaError for parameters that nobody reads, and another node of this name."""
        self._awaits_duplicates = True
        try:
            parameter_checks.check_overrides(self)
            self._heartbeats.wait_for_duplicates()
        finally:
            self._awaits_duplicates = False

    def check_activation(self) -> None:
        """Raise VimaError where another node of this name acts."""
        self._heartbeats.check_duplicates()

    def released(self) -> None:
        """Call nobody at heartbeats any more."""
        self._heartbeats.clear_callbacks()

    def subscribe_heartbeats(self, callback: Callable[[str, int, str], None]) -> None:
        """Call ``callback`` with name, lifecycle state and instance id at each heartbeat."""
        self._heartbeats.add_callback(self.guard(callback))

    def _on_jump(self, jump: TimeJump) -> None:
        if self._configured and jump.clock_change == ClockChange.ROS_TIME_NO_CHANGE:
            self.get_logger().warning("simulation time jumped back; earlier stamps are forgotten")
            self.on_clock_jump_back()

    def _collect_diagnostics(self) -> Iterable[FunctionStatus]:
        _, state = self._state_machine.current_state
        level = ERROR if self._refusal else OK
        yield FunctionStatus("lifecycle", level, self._refusal or state, {"state": state})
        yield FunctionStatus("performance", OK, "", self.statistics.values())
        if self._configured:
            yield from self.diagnose()

    def stop_spinning(self, reason: str) -> None:
        """Hold what moves, publish the last heartbeat, and end the spinning; from any thread."""
        if not self._ending.is_set():
            self._ending.set()
            try:
                self.hold(f"the {self.name} node ended: {reason}")
                self._heartbeat.close()
            finally:
                self.spinning_ended.set_result(None)

    def end(self) -> None:
        """Stop the heartbeat and close the resources; to be called before ``destroy_node``.

        Not by it: rclpy calls that in whatever thread shuts the context down.
        """
        self._heartbeat.close()
        self.resources.close()
