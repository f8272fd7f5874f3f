"""Base of all nodes: a lifecycle node with parameters, a heartbeat and diagnostics."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from lifecycle_msgs.msg import State
from rclpy.clock import ClockChange, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from vima_ros.errors import VimaError
from vima_ros.nodes.common import parameter_checks, parameter_files, parameters
from vima_ros.nodes.common.created_handles import CreatedHandles
from vima_ros.nodes.common.diagnostics import (
    ERROR,
    OK,
    DiagnosticUpdater,
    FunctionStatus,
    PerformanceStatistics,
)
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

    ``configure`` creates every handle; cleanup destroys what it created, and first closes
    ``resources``, what else it has put there. Handles exist from configure on, so a callback that
    must not act while inactive checks ``self.active``. Callbacks run one after the other in one
    thread; only the heartbeat has a thread of its own, because a node that computes for seconds
    is not dead.
    """

    name: ClassVar[str]
    parameters_type: type[P]

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
        self.resources = ExitStack()
        self._configured = False  # the handles of ``configure`` exist, in whatever transition
        self._awaits_duplicates = False
        self._refusal = ""  # why it could not be configured or activated
        self.instance_id = new_instance_id()
        self._heartbeats = HeartbeatListener(self, self.on_duplicate_node)
        self._jumps = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1)),
            post_callback=self._on_jump,
        )
        self._diagnostics = DiagnosticUpdater(self, self._collect_diagnostics)
        self._heartbeat = HeartbeatPublisher(self)

    # --- for subclasses

    def configure(self) -> None:
        """Create the handles; raise VimaError to refuse."""
        raise NotImplementedError(f"{type(self).__name__}.configure")

    def activated(self) -> None:
        """Begin to act; the node is active once this returns. Raise VimaError to refuse."""

    def deactivated(self, how: str) -> None:
        """Stop acting; also after an activation that failed, and where nothing had begun.

        ``how``: "deactivated", "shut down" or "not activated".
        """

    def hold(self, reason: str) -> None:
        """Hold what moves by this node's command; called from any thread.

        Called before the node ends, and after a failed transition.
        """

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
        # rclpy has no public getter; its state changes within one call that holds the GIL.
        state, _ = self._state_machine.current_state
        return State.PRIMARY_STATE_UNCONFIGURED if self._awaits_duplicates else state

    @property
    def active(self) -> bool:
        """True in the lifecycle state active."""
        return self.lifecycle_state == State.PRIMARY_STATE_ACTIVE

    def subscribe_heartbeats(self, callback: Callable[[str, int, str], None]) -> None:
        """Call ``callback`` with name, lifecycle state and instance id at each heartbeat."""
        self._heartbeats.add_callback(self.guard(callback))

    # --- lifecycle. rclpy's managed entities only gate publishers: they are not used.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Create the handles; on an error stay unconfigured and log the reason."""
        self._awaits_duplicates = True
        self._handles = CreatedHandles(self)
        try:
            parameter_checks.check_overrides(self)
            self._heartbeats.wait_for_duplicates()
            self._awaits_duplicates = False
            self.configure()
        except Exception as error:
            refusal = self._refuse("configure", error)
            return self._attempt(self._release, refusal)
        finally:
            self._awaits_duplicates = False
        self._configured, self._refusal = True, ""
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to act, unless another node of this name does; on an error stay inactive."""
        try:
            self._heartbeats.check_duplicates()
            self.activated()
        except Exception as error:
            refusal = self._refuse("activate", error)
            return self._attempt(lambda: self.deactivated("not activated"), refusal)
        self._refusal = ""
        gc.collect()
        gc.freeze()  # a search through what is alive by now would halt the node for 0.1 s
        self.get_logger().info("active")
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop acting, keep the handles."""
        return self._attempt(lambda: self.deactivated("deactivated"))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Destroy what configure created."""
        return self._attempt(self._release)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End for good; the handles stay until the node is destroyed."""
        return self._attempt(self._stop_acting_for_good)

    def _stop_acting_for_good(self) -> None:
        if self._configured:
            self.deactivated("shut down")

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Hold what moves and release the handles after a transition that raised.

        The node is unconfigured again; finalized where that fails, too.
        """

        def give_up() -> None:
            try:
                self.hold(f"a transition of the {self.name} node failed")
            finally:
                self._release()

        return self._attempt(give_up, otherwise=TransitionCallbackReturn.FAILURE)

    def _attempt(
        self,
        act: Callable[[], object],
        result: TransitionCallbackReturn = TransitionCallbackReturn.SUCCESS,
        otherwise: TransitionCallbackReturn = TransitionCallbackReturn.ERROR,
    ) -> TransitionCallbackReturn:
        """Return ``result`` of a transition, ``otherwise`` where ``act`` raises, which is logged.

        rclpy itself drops what a transition raises.
        """
        try:
            act()
        except Exception:
            self.get_logger().error(f"unexpected error:\n{traceback.format_exc()}")
            return otherwise
        return result

    def _refuse(self, transition: str, error: Exception) -> TransitionCallbackReturn:
        why = f"unexpected:\n{''.join(traceback.format_exception(error))}"
        if isinstance(error, VimaError):
            why = f"{error.code}: {error}"
        refusal = f"cannot {transition}: {why}"
        if refusal != self._refusal and not self.ending:  # the manager tries again and again
            self.get_logger().error(refusal)
        self._refusal = refusal
        return TransitionCallbackReturn.FAILURE

    def _release(self) -> None:
        """Close the resources and destroy the handles that ``configure`` created."""
        self._configured = False
        try:
            self.resources.close()
        finally:
            self._handles.release()
            self._heartbeats.clear_callbacks()

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
                self.context.try_shutdown()

    def end(self) -> None:
        """Stop the heartbeat and close the resources; to be called before ``destroy_node``.

        Not by it: rclpy calls that in whatever thread shuts the context down.
        """
        self._heartbeat.close()
        self.resources.close()
