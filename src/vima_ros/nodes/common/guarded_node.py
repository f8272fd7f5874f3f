"""A lifecycle node whose callbacks may raise: the error is logged and the node goes on."""

from __future__ import annotations

import functools
import inspect
import threading
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, Protocol, TypeVar

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
Request = TypeVar("Request")
Arguments = ParamSpec("Arguments")


class Outcome(Protocol):
    """Response of a service that may fail."""

    success: bool
    message: str


Response = TypeVar("Response", bound=Outcome)


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
        **options: Any,  # rclpy has no type for them
    ) -> Subscription:
        """Create a subscription; whatever its callback raises is logged."""
        return super().create_subscription(
            msg_type, topic, self.guard(callback), qos_profile, **options
        )

    def create_service(
        self,
        srv_type: type,
        srv_name: str,
        callback: Callable[[Any, Any], Any],
        **options: Any,  # rclpy has no type for them
    ) -> Service:
        """Create a service; where its callback raises, the response reports the failure.

        The callback may be a coroutine, and await ``wait_for_response`` while the node goes on.
        """
        if inspect.iscoroutinefunction(callback):
            options.setdefault("callback_group", self.reentrant_group)
        # The responses of rclpy's own services lack these fields.
        response = getattr(srv_type, "Response", None)
        if hasattr(response, "success") and hasattr(response, "message"):
            callback = self.guard_service_callback(callback)
        return super().create_service(srv_type, srv_name, callback, **options)

    def create_timer(
        self,
        timer_period_sec: float,
        callback: Callable[[], object] | None,
        callback_group: CallbackGroup | None = None,
        clock: Clock | None = None,
        **options: Any,  # rclpy has no type for them
    ) -> Timer:
        """Create a timer [s, node's clock]; whatever its callback raises is logged."""
        return super().create_timer(
            timer_period_sec, callback and self.guard(callback), callback_group, clock, **options
        )

    def guard(self, callback: Callable[Arguments, T]) -> Callable[Arguments, T | None]:
        """Return the callback so wrapped that what it raises is logged."""

        @functools.wraps(callback)
        def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> T | None:
            try:
                return callback(*args, **kwargs)
            except Exception:
                self._log_unexpected()
                return None

        return guarded

    def guard_service_callback(
        self, callback: Callable[[Request, Response], Response | Awaitable[Response]]
    ) -> Callable[[Request, Response], Awaitable[Response]]:
        """Return the callback so wrapped that the response reports what it raises."""

        async def respond(request: Request, response: Response) -> Response:
            try:
                done = callback(request, response)
                return await done if isinstance(done, Awaitable) else done
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
