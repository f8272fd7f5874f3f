"""A lifecycle node whose transitions are undone and logged where they fail."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable
from contextlib import ExitStack

from lifecycle_msgs.msg import State
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from vima_ros.errors import VimaError
from vima_ros.nodes.common.created_handles import CreatedHandles
from vima_ros.nodes.common.guarded_node import GuardedNode


class ManagedNode(GuardedNode):
    """Node that is active once ``activated`` has succeeded, and holds only what it configured.

    ``configure`` creates every handle; cleanup destroys what it created, and first closes
    ``resources``, what else it has put there. Handles exist from configure on, so a callback that
    must not act while inactive checks ``self.active``.
    """

    def __init__(self, name: str, namespace: str) -> None:
        super().__init__(name, namespace)
        self.resources = ExitStack()
        self._configured = False  # the handles of ``configure`` exist, in whatever transition
        self._refusal = ""  # why it could not be configured or activated

    # --- for subclasses

    def check_configuration(self) -> None:
        """Raise VimaError where the node may not be configured."""

    def check_activation(self) -> None:
        """Raise VimaError where the node may not be activated."""

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

    def released(self) -> None:
        """Forget what was configured; its handles are destroyed."""

    @property
    def lifecycle_state(self) -> int:
        """State as in lifecycle_msgs/State, for any thread."""
        # rclpy has no public getter; its state changes within one call that holds the GIL.
        state, _ = self._state_machine.current_state
        return state

    @property
    def active(self) -> bool:
        """True in the lifecycle state active."""
        return self.lifecycle_state == State.PRIMARY_STATE_ACTIVE

    # --- transitions. rclpy's managed entities only gate publishers: they are not used.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Create the handles; on an error stay unconfigured and log the reason."""
        self._handles = CreatedHandles(self)
        try:
            self.check_configuration()
            self.configure()
        except Exception as error:
            refusal = self._refuse("configure", error)
            return self._attempt(self._release, refusal)
        self._configured, self._refusal = True, ""
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to act; on an error stay inactive and log the reason."""
        try:
            self.check_activation()
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
                self.hold(f"a transition of the {self.get_name()} node failed")
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
            self.released()
