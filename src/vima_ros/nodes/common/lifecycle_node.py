"""Base of all nodes: a lifecycle node with parameters, a heartbeat and diagnostics."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from lifecycle_msgs.msg import State
from rclpy.clock import ClockChange, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from vima_ros.errors import VimaError
from vima_ros.nodes.common import parameter_checks, parameter_files, parameters
from vima_ros.nodes.common.diagnostics import DiagnosticsPublisher, PerformanceStatistics
from vima_ros.nodes.common.duplicate_nodes import new_instance_id
from vima_ros.nodes.common.guarded_node import GuardedNode
from vima_ros.nodes.common.heartbeat import HeartbeatPublisher
from vima_ros.nodes.common.heartbeat_listener import HeartbeatListener
from vima_ros.nodes.common.namespaces import NAMESPACE

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

P = TypeVar("P", bound="DataclassInstance")  # the node's parameters


class VimaNode(GuardedNode, Generic[P]):
    """Base of all nodes. A subclass names itself and implements ``configure`` and the callbacks.

    ``configure`` creates every handle; cleanup destroys what it created. Handles exist from
    configure on, so a callback that must not act while inactive checks ``self.active``. Callbacks
    run one after the other in one thread; only the heartbeat has a thread of its own, because a
    node that computes for seconds is not dead.
    """

    name: ClassVar[str]
    parameters_type: type[P]

    def __init__(self) -> None:
        super().__init__(self.name, NAMESPACE)
        # From files and arguments; None: not read by ``parameter_files.init``.
        self.parameter_overrides: list[parameter_files.Override] | None = None
        self.parameters: P = parameters.declare(self, self.name, self.parameters_type)
        parameters.follow_changes(self)
        self.statistics = PerformanceStatistics()
        self._state = State.PRIMARY_STATE_UNCONFIGURED
        self._before_configure: list[set] = []
        self._refusal = ""  # why it could not be configured
        self.instance_id = new_instance_id()
        self._heartbeats = HeartbeatListener(self, lambda: self._state, self.on_duplicate_node)
        self._jumps = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1)),
            post_callback=self._on_jump,
        )
        self._diagnostics = DiagnosticsPublisher(self, self._collect_diagnostics)
        self._heartbeat = HeartbeatPublisher(self, lambda: self._state)

    # --- for subclasses

    def configure(self) -> None:
        """Create the handles; raise VimaError to refuse."""
        raise NotImplementedError(f"{type(self).__name__}.configure")

    def after_activate(self) -> None:
        """Begin to act, once active."""

    def hold(self, reason: str) -> None:
        """Hold what moves by this node's command; called from any thread, before the node ends."""

    def on_duplicate_node(self) -> None:
        """Withdraw: another node of this name was active before this one, unnoticed until now."""
        self.trigger_deactivate()

    def on_clock_jump_back(self) -> None:
        """Forget earlier stamps: simulation time began anew; called once configured."""

    def diagnose(self) -> tuple[bool, str, dict[str, Any]]:
        """Return the node's health, a sentence for a person, and values; called once configured.

        ``statistics`` are published beside it.
        """
        return True, "", {}

    @property
    def active(self) -> bool:
        """True in the lifecycle state active."""
        return self._state == State.PRIMARY_STATE_ACTIVE

    @property
    def _configured(self) -> bool:
        return self._state in (State.PRIMARY_STATE_INACTIVE, State.PRIMARY_STATE_ACTIVE)

    def subscribe_heartbeats(self, callback: Callable[[str, int, str], None]) -> None:
        """Call ``callback`` with name, lifecycle state and instance id at each heartbeat."""
        self._heartbeats.add_callback(self.guard(callback))

    # --- lifecycle

    def _handles(self) -> list[list]:
        kinds = (self.publishers, self.subscriptions, self.services, self.clients, self.timers)
        return [list(handles) for handles in kinds]

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Create the handles; on an error stay unconfigured and log the reason."""
        self._before_configure = [set(map(id, handles)) for handles in self._handles()]
        try:
            parameter_checks.check_overrides(self)
            self._heartbeats.wait_for_duplicates()
            self._state = State.TRANSITION_STATE_CONFIGURING
            self.configure()
        except Exception as error:
            why = f"unexpected:\n{traceback.format_exc()}"
            if isinstance(error, VimaError):
                why = f"{error.code}: {error}"
            if why != self._refusal and not self.ending:  # the manager tries again and again
                self.get_logger().error(f"cannot configure: {why}")
            self._refusal = why
            self._release()
            self._state = State.PRIMARY_STATE_UNCONFIGURED
            return TransitionCallbackReturn.FAILURE
        self._refusal = ""
        self._state = State.PRIMARY_STATE_INACTIVE
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to act, unless another node of this name does."""
        try:
            self._heartbeats.check_duplicates()
        except VimaError as error:
            self.get_logger().error(f"cannot activate: {error.code}: {error}")
            return TransitionCallbackReturn.FAILURE
        result = super().on_activate(state)
        self._state = State.PRIMARY_STATE_ACTIVE
        self.after_activate()
        gc.collect()
        gc.freeze()  # a search through what is alive by now would halt the node for 0.1 s
        self.get_logger().info("active")
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop acting, keep the handles."""
        self._state = State.PRIMARY_STATE_INACTIVE
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Destroy what configure created."""
        self._state = State.PRIMARY_STATE_UNCONFIGURED
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End for good."""
        self._state = State.PRIMARY_STATE_FINALIZED
        return super().on_shutdown(state)

    def _release(self) -> None:
        destroyers: tuple[Callable[[Any], object], ...] = (
            self.destroy_publisher,
            self.destroy_subscription,
            self.destroy_service,
            self.destroy_client,
            self.destroy_timer,
        )
        for handles, before, destroy in zip(
            self._handles(), self._before_configure, destroyers, strict=True
        ):
            for handle in handles:
                if id(handle) not in before:
                    destroy(handle)
        self._heartbeats.clear_callbacks()

    def _on_jump(self, jump: TimeJump) -> None:
        if self._configured and jump.clock_change == ClockChange.ROS_TIME_NO_CHANGE:
            self.get_logger().warning("simulation time jumped back; earlier stamps are forgotten")
            self.on_clock_jump_back()

    def _collect_diagnostics(self) -> tuple[bool, str, dict[str, Any]]:
        """Return ``diagnose`` and the statistics."""
        healthy, sentence, values = (
            self.diagnose()
            if self._configured
            else (not self._refusal, self._refusal or "not configured", {})
        )
        return healthy, sentence, {**values, **self.statistics.values()}

    def stop_spinning(self, reason: str) -> None:
        """Hold what moves, publish the last heartbeat, and end the spinning; from any thread."""
        if not self._ending.is_set():
            self._ending.set()
            try:
                self.hold(f"the {self.name} node ended: {reason}")
                self._heartbeat.close()
            finally:
                self.context.try_shutdown()

    def end(self) -> None:
        """Stop the heartbeat; to be called before the context is shut down."""
        self._heartbeat.close()
