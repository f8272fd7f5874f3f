"""A client of the running nodes, for the tools and the tests: send, call, wait for."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import rclpy
from lifecycle_msgs.msg import State
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile

from vima_msgs.msg import Heartbeat
from vima_ros.errors import VimaError
from vima_ros.nodes import qos
from vima_ros.nodes.environment import use_fastdds_profile

T = TypeVar("T")
# A server sees a new client's reader a moment after the client sees the server; what it answers
# before that is lost (rmw_fastrtps waits 0.1 s for it) [s].
MATCHING_TIME = 0.3
DISCOVERY_TIMEOUT = 40.0  # usually 0.1 s; many seconds where a busy machine starts a node [s]


class Inbox:
    """All messages of one topic, in order of arrival."""

    def __init__(self, condition: threading.Condition) -> None:
        self._condition = condition
        self.messages: list[Any] = []

    def put(self, message: Any) -> None:
        """Called by the executor's thread."""
        with self._condition:
            self.messages.append(message)
            self._condition.notify_all()

    @property
    def count(self) -> int:
        """How many have come; pass it to ``wait`` as ``after`` to wait for what is new."""
        with self._condition:
            return len(self.messages)

    def wait(
        self, predicate: Callable[[Any], bool], timeout: float, what: str, after: int = 0
    ) -> Any:
        """The first message from number ``after`` on that fits.

        Raises VimaError (TIMEOUT) saying ``what`` was waited for and what came instead.
        """
        deadline, seen = time.monotonic() + timeout, after
        with self._condition:
            while True:
                for message in self.messages[seen:]:
                    seen += 1
                    if predicate(message):
                        return message
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    break
                self._condition.wait(remaining)
            last = str(self.messages[-1])[:500] if self.messages else "nothing"
        raise VimaError("TIMEOUT", f"no {what} within {timeout:g} s; last came: {last}")


class Client:
    """A node of its own with a thread that spins it; a context manager."""

    def __init__(self, name: str, namespace: str = "/vima", args: list[str] | None = None) -> None:
        use_fastdds_profile()
        self._context = Context()
        rclpy.init(args=args, context=self._context)
        self.node = Node(name, namespace=namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._condition = threading.Condition()
        self._ended = threading.Event()
        self._clients: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            while not self._ended.is_set():
                self._executor.spin_once(timeout_sec=0.5)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let what was published arrive, then take node and thread down."""
        for publisher in self.node.publishers:  # what was said last must not be lost
            publisher.wait_for_all_acked(Duration(seconds=1))
        self._ended.set()  # the executor may only be taken down once nobody spins it
        self._executor.wake()
        self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def listen(self, kind: type, topic: str, profile: QoSProfile = qos.RELIABLE) -> Inbox:
        """Collect what is published on ``topic`` from now on (latched: also the present value)."""
        inbox = Inbox(self._condition)
        self.node.create_subscription(kind, topic, inbox.put, profile)
        return inbox

    def publisher(self, kind: type, topic: str, profile: QoSProfile = qos.RELIABLE) -> Any:
        """A publisher on ``topic``."""
        return self.node.create_publisher(kind, topic, profile)

    def action(self, kind: type, name: str) -> ActionClient:
        """A client of an action.

        Made by the thread that spins, for rclpy's is spun before it is whole.
        """
        made = threading.Event()
        task = self._executor.create_task(ActionClient, self.node, kind, name)
        task.add_done_callback(lambda _: made.set())
        made.wait()
        return task.result()

    def meet(self, kind: type, name: str) -> Any:
        """The client of a service, matched with it: a call then leaves at once.

        Raises VimaError (TIMEOUT) when it is not there.
        """
        new = name not in self._clients
        if new:
            self._clients[name] = self.node.create_client(kind, name)
        client = self._clients[name]
        if not client.wait_for_service(DISCOVERY_TIMEOUT):
            raise VimaError("TIMEOUT", f"no service {name} within {DISCOVERY_TIMEOUT:g} s")
        if new:
            time.sleep(MATCHING_TIME)
        return client

    def call(self, kind: type[T], name: str, request: Any, timeout: float = 15.0) -> Any:
        """Call a service. Raises VimaError (TIMEOUT) when it is not there or does not answer."""
        client = self.meet(kind, name)
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(timeout):
            raise VimaError("TIMEOUT", f"service {name} did not answer within {timeout:g} s")
        return future.result()

    def wait_for_active(
        self, names: Iterable[str], timeout: float = 120.0, check: Callable = lambda: None
    ) -> None:
        """Until the heartbeats of all ``names`` say active; ``check`` may raise meanwhile.

        Raises VimaError (TIMEOUT) naming who is not.
        """
        states = dict.fromkeys(names, 0)

        def all_active(beat: Heartbeat) -> bool:
            check()
            namespace, _, name = beat.node.rpartition("/")
            if name in states and namespace == self.node.get_namespace():
                states[name] = beat.state
            return set(states.values()) == {State.PRIMARY_STATE_ACTIVE}

        try:
            self.listen(Heartbeat, "heartbeat").wait(all_active, timeout, "heartbeats")
        except VimaError as error:
            if error.code != "TIMEOUT":
                raise
            missing = [n for n, state in states.items() if state != State.PRIMARY_STATE_ACTIVE]
            raise VimaError("TIMEOUT", f"not active within {timeout:g} s: {missing}") from error

    def wait_until(self, condition: Callable[[], bool], what: str, timeout: float = 15.0) -> None:
        """Poll a fact of the graph, such as matched endpoints, that sends no message."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise VimaError("TIMEOUT", f"no {what} within {timeout:g} s")
            time.sleep(0.02)
