"""A client of the running nodes, for the tools and the tests: send, call, wait for."""

from __future__ import annotations

import contextlib
import os
import sys
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

from vima_msgs.msg import EpisodeHistory, Heartbeat
from vima_ros.client.episode_changes import EpisodeChanges
from vima_ros.errors import VimaError
from vima_ros.nodes.common import qos
from vima_ros.nodes.common.dds import prepare_ros
from vima_ros.nodes.common.namespaces import NAMESPACE, absolute_namespace

T = TypeVar("T")
# A server sees a new client's reader a moment after the client sees the server; what it answers
# before that is lost (rmw_fastrtps waits 0.1 s for it) [s].
MATCHING_TIME = 0.3
DISCOVERY_TIMEOUT = 40.0  # usually 0.1 s; many seconds where a busy machine starts a node [s]
REPORT_AFTER = 2.0  # of waiting, on stderr [s]
REPORT_AGAIN = 10.0  # [s]
POLL_PERIOD = 0.5  # [s]
RUNNING = "; is the suite running?"  # a hint for who waits
STATES = {
    State.PRIMARY_STATE_UNKNOWN: "no heartbeat",
    State.PRIMARY_STATE_UNCONFIGURED: "unconfigured",
    State.PRIMARY_STATE_INACTIVE: "inactive",
    State.PRIMARY_STATE_ACTIVE: "active",
    State.PRIMARY_STATE_FINALIZED: "finalized",
    State.TRANSITION_STATE_CONFIGURING: "configuring",
    State.TRANSITION_STATE_ACTIVATING: "activating",
}


def wait_reporting(
    wait: Callable[[float], bool], timeout: float, describe: Callable[[], str] | None
) -> bool:
    """Whether ``wait``, called with at most POLL_PERIOD [s] at a time, is true within ``timeout``.

    ``describe`` returns what is waited for: printed to stderr after REPORT_AFTER, then every
    REPORT_AGAIN; None for a wait that is normally long.
    """
    now = time.monotonic()
    deadline, report_at = now + timeout, now + REPORT_AFTER
    while not wait(max(0.0, min(deadline - now, report_at - now, POLL_PERIOD))):
        now = time.monotonic()
        if now >= deadline:
            return False
        if now >= report_at:
            report_at = now + REPORT_AGAIN
            if describe is not None:
                domain = os.environ.get("ROS_DOMAIN_ID", "0")
                print(f"waiting for {describe()} (ROS_DOMAIN_ID={domain})", file=sys.stderr)
    return True


class MessageBuffer:
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
        self,
        predicate: Callable[[Any], bool],
        timeout: float,
        what: str | Callable[[], str],
        after: int = 0,
        *,
        quiet: bool = False,
        check: Callable[[], object] = lambda: None,
    ) -> Any:
        """The first message from number ``after`` on that fits.

        ``what``, the text or its source, is reported while it takes long, unless ``quiet``.
        ``check`` is called every POLL_PERIOD and may raise.

        Raises VimaError (TIMEOUT) saying ``what`` was waited for and what came instead.
        """
        describe = what if callable(what) else lambda: what
        seen = after
        found: list[Any] = []

        def look() -> bool:
            nonlocal seen
            while not found and seen < len(self.messages):
                if predicate(self.messages[seen]):
                    found.append(self.messages[seen])
                seen += 1
            return bool(found)

        def wait_for_message(seconds: float) -> bool:
            check()
            return self._condition.wait_for(look, seconds)

        with self._condition:
            if wait_reporting(wait_for_message, timeout, None if quiet else describe):
                return found[0]
            last = str(self.messages[-1])[:500] if self.messages else "nothing"
        raise VimaError("TIMEOUT", f"no {describe()} within {timeout:g} s; last came: {last}")


class Client:
    """A node of its own with a thread that spins it; a context manager.

    Raises VimaError: BAD_NAMESPACE, BAD_ENVIRONMENT, SHARED_MEMORY.
    """

    def __init__(
        self, name: str, namespace: str = NAMESPACE, args: list[str] | None = None
    ) -> None:
        namespace = absolute_namespace(namespace)
        prepare_ros()
        self._context = Context()
        try:
            rclpy.init(args=args, context=self._context)
        except RuntimeError as error:  # RCLError
            raise VimaError("BAD_ENVIRONMENT", f"ROS does not start: {error}") from error
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

    def subscribe(
        self, kind: type, topic: str, profile: QoSProfile = qos.RELIABLE
    ) -> MessageBuffer:
        """Collect what is published on ``topic`` from now on (latched: also the present value)."""
        inbox = MessageBuffer(self._condition)
        self.node.create_subscription(kind, topic, inbox.put, profile)
        return inbox

    def subscribe_episodes(self) -> MessageBuffer:
        """Collect the changes of the episode, none missed: the latest before now, then all new."""
        inbox, seen = MessageBuffer(self._condition), EpisodeChanges()

        def put(history: EpisodeHistory) -> None:
            for status in seen.new_in(history.statuses):
                inbox.put(status)

        self.node.create_subscription(EpisodeHistory, "episode_history", put, qos.LATCHED)
        return inbox

    def create_publisher(self, kind: type, topic: str, profile: QoSProfile = qos.RELIABLE) -> Any:
        """A publisher on ``topic``."""
        return self.node.create_publisher(kind, topic, profile)

    def create_action_client(self, kind: type, name: str) -> ActionClient:
        """A client of an action.

        Made by the thread that spins, for rclpy's is spun before it is whole.
        """
        made = threading.Event()
        task = self._executor.create_task(ActionClient, self.node, kind, name)
        task.add_done_callback(lambda _: made.set())
        made.wait()
        return task.result()

    def wait_for_service(self, kind: type, name: str) -> Any:
        """The client of a service, matched with it: a call then leaves at once.

        Raises VimaError (TIMEOUT) when it is not there.
        """
        new = name not in self._clients
        if new:
            self._clients[name] = self.node.create_client(kind, name)
        client = self._clients[name]
        what = f"service {self.node.resolve_service_name(name)}"
        self.wait_until(client.service_is_ready, what, DISCOVERY_TIMEOUT, RUNNING)
        if new:
            time.sleep(MATCHING_TIME)
        return client

    def call(self, kind: type[T], name: str, request: Any, timeout: float = 15.0) -> Any:
        """Call a service. Raises VimaError (TIMEOUT) when it is not there or does not answer."""
        client = self.wait_for_service(kind, name)
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not wait_reporting(done.wait, timeout, lambda: f"the answer of service {name}"):
            raise VimaError("TIMEOUT", f"service {name} did not answer within {timeout:g} s")
        return future.result()

    def wait_for_active(
        self, names: Iterable[str], timeout: float = 120.0, check: Callable = lambda: None
    ) -> None:
        """Until the heartbeats of all ``names`` say active; ``check`` may raise meanwhile.

        Raises VimaError (TIMEOUT) naming who is not.
        """
        states = dict.fromkeys(names, 0)
        own = self.node.get_namespace()

        def all_active(beat: Heartbeat) -> bool:
            namespace, _, name = beat.node.rpartition("/")
            if name in states and (namespace or "/") == own:
                states[name] = beat.state
            return set(states.values()) == {State.PRIMARY_STATE_ACTIVE}

        def missing() -> str:
            return ", ".join(
                f"{name} ({STATES.get(state, state)})"
                for name, state in states.items()
                if state != State.PRIMARY_STATE_ACTIVE
            )

        def what() -> str:
            hint = "" if any(states.values()) else RUNNING
            return f"nodes in namespace {own} to become active: {missing()}{hint}"

        try:
            self.subscribe(Heartbeat, "heartbeat").wait(all_active, timeout, what, check=check)
        except VimaError as error:
            if error.code != "TIMEOUT":
                raise
            raise VimaError("TIMEOUT", f"not active within {timeout:g} s: {missing()}") from error

    def wait_until(
        self, condition: Callable[[], bool], what: str, timeout: float = 15.0, hint: str = ""
    ) -> None:
        """Poll a fact of the graph, such as matched endpoints, that sends no message.

        Raises VimaError (TIMEOUT) saying ``what`` was waited for.
        """

        def poll(seconds: float) -> bool:
            end = time.monotonic() + seconds
            while not (done := condition()) and time.monotonic() < end:
                time.sleep(0.02)
            return done

        if not wait_reporting(poll, timeout, lambda: what + hint):
            raise VimaError("TIMEOUT", f"no {what} within {timeout:g} s")
