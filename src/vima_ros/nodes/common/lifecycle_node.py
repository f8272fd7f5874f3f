"""What every node is: a lifecycle node with parameters, a heartbeat and diagnostics."""

from __future__ import annotations

import functools
import gc
import inspect
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, ClassVar

import rclpy
from lifecycle_msgs.msg import State
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockChange, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.task import Future

from vima_ros.errors import VimaError
from vima_ros.nodes.common import parameter_files, parameters
from vima_ros.nodes.common.dds import prepare_ros
from vima_ros.nodes.common.diagnostics import Meter
from vima_ros.nodes.common.duplicate_nodes import new_instance_id
from vima_ros.nodes.common.heartbeat import SignsOfLife
from vima_ros.nodes.common.heartbeat_listener import HeartbeatListener
from vima_ros.nodes.common.namespaces import NAMESPACE
from vima_ros.program import watch_signals


class VimaNode(LifecycleNode):
    """Base of all nodes. A subclass names itself and implements ``configure`` and the callbacks.

    ``configure`` creates every handle; what it created is destroyed on cleanup. Handles exist from
    configure on, so a callback that must not act while inactive asks ``self.active``. Callbacks
    run one after the other in one thread; only the heartbeat has a thread of its own, because a
    node that computes for seconds is not dead.
    """

    name: ClassVar[str]
    parameters_type: ClassVar[type]

    def __init__(self) -> None:
        super().__init__(self.name, namespace=NAMESPACE)
        self.given_parameters: list[parameter_files.Given] | None = None  # by files and arguments
        self.parameters = parameters.declare(self, self.name, self.parameters_type)
        parameters.follow_changes(self)
        self.meter = Meter()
        # What awaits an answer must not keep the callback from running that brings it.
        self.awaiting = ReentrantCallbackGroup()
        self._state = State.PRIMARY_STATE_UNCONFIGURED
        self._ending = threading.Event()
        self._before_configure: list[set] = []
        self._refusal = ""  # why it could not be configured
        self.instance_id = new_instance_id()
        self._others = HeartbeatListener(self, lambda: self._state, self.withdraw)
        # Wall time, whatever use_sim_time says: a stopped simulation must not look like a death.
        self.steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._jumps = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1)),
            post_callback=self._on_jump,
        )
        self._life = SignsOfLife(self, lambda: self._state, self._vital_signs)

    # --- for subclasses

    def configure(self) -> None:
        """Create the handles; raise VimaError to refuse."""
        raise NotImplementedError(f"{type(self).__name__}.configure")

    def activated(self) -> None:
        """What to do once active."""

    def hold(self, reason: str) -> None:
        """Hold what moves by this node's command; called from any thread, before the node ends."""

    def callback_failed(self) -> None:
        """Called after a callback has raised an unexpected error, which is logged by then."""

    def withdraw(self) -> None:
        """Another node of this name was active before this one, and heard only now."""
        self.trigger_deactivate()

    def clock_jumped_back(self) -> None:
        """Simulation time began anew, as between two recordings; called once configured."""

    def diagnose(self) -> tuple[bool, str, dict[str, Any]]:
        """Whether all is well, a sentence for a person, and values; called once configured.

        What ``meter`` counted is told beside it.
        """
        return True, "", {}

    @property
    def active(self) -> bool:
        """Whether the node is in the lifecycle state active."""
        return self._state == State.PRIMARY_STATE_ACTIVE

    @property
    def ending(self) -> bool:
        """Whether the node has begun to end; its context may be shut down at any moment."""
        return self._ending.is_set()

    @property
    def _configured(self) -> bool:
        return self._state in (State.PRIMARY_STATE_INACTIVE, State.PRIMARY_STATE_ACTIVE)

    def now_ns(self) -> int:
        """The node's clock (simulation time where use_sim_time is set) [ns]."""
        return self.get_clock().now().nanoseconds

    def listen(
        self, kind: type, topic: str, callback: Callable, profile: Any, **options: Any
    ) -> Any:
        """Subscribe; whatever the callback raises is logged and the node lives on."""
        return self.create_subscription(kind, topic, self._guarded(callback), profile, **options)

    def follow_heartbeats(self, heard: Callable[[str, int, str], None]) -> None:
        """Call ``heard`` with name, lifecycle state and instance of each node beside us."""
        self._others.follow(self._guarded(heard))

    def serve(self, kind: type, name: str, callback: Callable, on: Node | None = None) -> Any:
        """A service with ``success`` and ``message`` that answers whatever its callback raises.

        The callback may be a coroutine, and await ``answer`` while the node goes on. ``on``
        another node of this process, it is answered in that one's thread.
        """

        async def respond(request: Any, response: Any) -> Any:
            try:
                done = callback(request, response)
                return await done if inspect.isawaitable(done) else done
            except Exception:
                self._log_unexpected()
                response.success, response.message = False, "unexpected error, see the node's log"
                return response

        group = self.awaiting if inspect.iscoroutinefunction(callback) else None
        name = self.resolve_service_name(name)
        return (on or self).create_service(kind, name, respond, callback_group=group)

    async def answer(self, future: Any, timeout: float) -> Any:
        """What ``future`` brings; the node goes on meanwhile.

        Raises VimaError (TIMEOUT) after ``timeout`` [s, steady clock].
        """
        either: Future = Future()

        def settle(came: bool) -> None:
            if not either.done():
                either.set_result(came)

        timer = self.create_timer(timeout, lambda: settle(False), clock=self.steady_clock)
        future.add_done_callback(lambda _: settle(True))
        try:
            if not await either:
                raise VimaError("TIMEOUT", f"no answer within {timeout:g} s")
        finally:
            self.destroy_timer(timer)
        return future.result()

    def every(self, period: float, callback: Callable, **options: Any) -> Any:
        """A timer [s, node's clock] that survives what its callback raises."""
        return self.create_timer(period, self._guarded(callback), **options)

    def _guarded(self, callback: Callable) -> Callable:
        @functools.wraps(callback)
        def guarded(*args: Any) -> Any:
            try:
                return callback(*args)
            except Exception:
                self._log_unexpected()

        return guarded

    def _log_unexpected(self) -> None:
        """Log the error that is being handled, unless it is one of a context that is shut down."""
        if not self._ending.is_set():
            self.get_logger().error(f"unexpected error:\n{traceback.format_exc()}")
            self.callback_failed()

    # --- lifecycle

    def _handles(self) -> list[list]:
        kinds = (self.publishers, self.subscriptions, self.services, self.clients, self.timers)
        return [list(handles) for handles in kinds]

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Create the handles; on an error stay unconfigured and say why."""
        self._before_configure = [set(map(id, handles)) for handles in self._handles()]
        try:
            parameter_files.check(self)
            self._others.wait_for_namesakes()
            self._state = State.TRANSITION_STATE_CONFIGURING
            self.configure()
        except Exception as error:
            known = isinstance(error, VimaError)
            why = f"{error.code}: {error}" if known else f"unexpected:\n{traceback.format_exc()}"
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
            self._others.check_namesakes()
        except VimaError as error:
            self.get_logger().error(f"cannot activate: {error.code}: {error}")
            return TransitionCallbackReturn.FAILURE
        result = super().on_activate(state)
        self._state = State.PRIMARY_STATE_ACTIVE
        self.activated()
        gc.collect()
        gc.freeze()  # what lives by now stays: a search through it would halt the node for 0.1 s
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
        destroyers = (
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
        self._others.forget_followers()

    def _on_jump(self, jump: TimeJump) -> None:
        if self._configured and jump.clock_change == ClockChange.ROS_TIME_NO_CHANGE:
            self.get_logger().warning("simulation time jumped back; earlier stamps are forgotten")
            self.clock_jumped_back()

    def _vital_signs(self) -> tuple[bool, str, dict[str, Any]]:
        """What ``diagnose`` says, and what ``meter`` counted."""
        well, sentence, values = (
            self.diagnose()
            if self._configured
            else (not self._refusal, self._refusal or "not configured", {})
        )
        return well, sentence, {**values, **self.meter.values()}

    def stop_spinning(self, reason: str) -> None:
        """Hold what moves, publish the last heartbeat, and end the spinning; from any thread."""
        if not self._ending.is_set():
            self._ending.set()
            try:
                self.hold(f"the {self.name} node ended: {reason}")
                self._life.end()
            finally:
                self.context.try_shutdown()

    def end(self) -> None:
        """Stop the heartbeat; to be called before the context is shut down."""
        self._life.end()


def run(node_type: type[VimaNode], args: list[str] | None = None, autostart: bool = False) -> None:
    """The main function of every node: spin until a signal ends it.

    Exit code 0 after a signal, 1 on an unexpected error, 2 on a bad parameter. ``autostart``:
    configure and activate at once instead of waiting for the manager.
    """
    signals = watch_signals()
    node = None
    try:
        prepare_ros()
        given = parameter_files.init(args)
        node = node_type()
        node.given_parameters = given
        signals.on_end(node.stop_spinning)
        if autostart:
            configured = node.trigger_configure() == TransitionCallbackReturn.SUCCESS
            if not (configured or node.ending):
                sys.exit(2)
            node.trigger_activate()
        rclpy.spin(node)
    except VimaError as error:
        print(f"{node_type.name}: {error.code}: {error}", file=sys.stderr)
        sys.exit(2)
    except ExternalShutdownException:
        pass
    except Exception:
        if node is None or not node.ending:
            traceback.print_exc()
            if node is not None:
                node.stop_spinning("unexpected error")
            sys.exit(1)
    finally:
        if node is not None:
            node.end()
            node.destroy_node()
        rclpy.try_shutdown()
        # Only with its last reference does DDS give the shared memory in /dev/shm back.
        signals.forget()
        del node
        gc.unfreeze()
        gc.collect()
