"""A lifecycle node whose callbacks may raise: the error is logged and the node goes on."""

from __future__ import annotations

import functools
import inspect
import threading
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from rclpy.callback_groups import CallbackGroup, ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from rclpy.service import Service
from rclpy.subscription import Subscription
from rclpy.task import Future
from rclpy.timer import Timer

from vima_ros.errors import WaitTimeoutError

T = TypeVar("T")


class GuardedNode(LifecycleNode):
    """Node that survives what the callbacks of its subscriptions, services and timers raise."""

    def __init__(self, name: str, namespace: str) -> None:
        super().__init__(name, namespace=namespace)
        # A callback that awaits a response must not block the callback that brings it.
        self.reentrant_group = ReentrantCallbackGroup()
        # Wall time, even with use_sim_time: a stopped simulation must not look like a death.
        self.steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._ending = threading.Event()

    @property
    def ending(self) -> bool:
        """True once the node has begun to end; its context may be shut down at any moment."""
        return self._ending.is_set()

    def now_ns(self) -> int:
        """Return the time of the node's clock (simulation time with use_sim_time) [ns]."""
        return self.get_clock().now().nanoseconds

    def on_callback_error(self) -> None:
        """Act on an unexpected error of a callback, which is logged by then."""

    def create_subscription(
        self,
        msg_type: type,
        topic: str,
        callback: Callable[..., object],
        qos_profile: QoSProfile | int,
        **options: Any,
    ) -> Subscription:
        """Create a subscription; whatever its callback raises is logged."""
        return super().create_subscription(
            msg_type, topic, self.guard(callback), qos_profile, **options
        )

    def create_service(
        self, srv_type: Any, srv_name: str, callback: Callable[[Any, Any], Any], **options: Any
    ) -> Service:
        """Create a service; where its callback raises, the response reports the failure.

        The callback may be a coroutine, and await ``wait_for_response`` while the node goes on.
        """
        if inspect.iscoroutinefunction(callback):
            options.setdefault("callback_group", self.reentrant_group)
        # The responses of rclpy's own services lack these fields.
        if hasattr(srv_type.Response, "success") and hasattr(srv_type.Response, "message"):
            callback = self.guard_service_callback(callback)
        return super().create_service(srv_type, srv_name, callback, **options)

    def create_timer(
        self,
        timer_period_sec: float,
        callback: Callable[[], object] | None,
        callback_group: CallbackGroup | None = None,
        clock: Clock | None = None,
        **options: Any,
    ) -> Timer:
        """Create a timer [s, node's clock]; whatever its callback raises is logged."""
        return super().create_timer(
            timer_period_sec, callback and self.guard(callback), callback_group, clock, **options
        )

    def guard(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """Return the callback so wrapped that what it raises is logged."""

        @functools.wraps(callback)
        def guarded(*args: Any) -> Any:
            try:
                return callback(*args)
            except Exception:
                self._log_unexpected()

        return guarded

    def guard_service_callback(self, callback: Callable[[Any, Any], Any]) -> Callable[..., Any]:
        """Return the callback so wrapped that the response reports what it raises.

        The response has the fields ``success`` and ``message``.
        """

        async def respond(request: Any, response: Any) -> Any:
            try:
                done = callback(request, response)
                return await done if inspect.isawaitable(done) else done
            except Exception:
                self._log_unexpected()
                response.success, response.message = False, "unexpected error, see the node's log"
                return response

        return respond

    async def wait_for_response(self, future: Future[T], timeout: float) -> T:
        """Return the result of ``future``; the node goes on meanwhile.

        Raises WaitTimeoutError after ``timeout`` [s, steady clock].
        """
        settled: Future[bool] = Future()

        def settle(in_time: bool) -> None:
            if not settled.done():
                settled.set_result(in_time)

        timer = self.create_timer(timeout, lambda: settle(False), clock=self.steady_clock)
        future.add_done_callback(lambda _: settle(True))
        try:
            if not await settled:
                raise WaitTimeoutError(f"no answer within {timeout:g} s", timeout)
        finally:
            self.destroy_timer(timer)
        return future.result()

    def _log_unexpected(self) -> None:
        """Log the error that is being handled, unless it is one of a context that is shut down."""
        if not self._ending.is_set():
            self.get_logger().error(f"unexpected error:\n{traceback.format_exc()}")
            self.on_callback_error()
