"""Client of the running nodes for programs and tests: subscribe, publish, call, wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import rclpy
from lifecycle_msgs.msg import State
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.action import ActionClient
from rclpy.client import Client as ServiceClient
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from rclpy.task import Future

from vima_msgs.msg import EpisodeHistory, EpisodeStatus, Heartbeat
from vima_ros.client.episode_changes import EpisodeChanges
from vima_ros.client.message_buffer import (
    CAPACITY,
    POLL_PERIOD,
    MessageBuffer,
    wait_with_progress,
)
from vima_ros.client.service_matching import server_heartbeats, server_is_known
from vima_ros.errors import VimaError, WaitTimeoutError
from vima_ros.nodes.common import qos
from vima_ros.nodes.common.dds import prepare_ros
from vima_ros.nodes.common.executor import make_executor, spin
from vima_ros.nodes.common.heartbeat import STATE_NAMES
from vima_ros.nodes.common.namespaces import NAMESPACE, absolute_namespace

T = TypeVar("T")
DISCOVERY_TIMEOUT = 40.0  # usually 0.1 s; many seconds where a busy machine starts a node [s]
ACKNOWLEDGE_TIMEOUT = 5.0  # for what was published to have arrived, as a client is closed [s]
SUITE_HINT = "; is the suite running?"  # appended to the report of a wait


class Client:
    """Node of its own with a thread that spins it; a context manager.

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
        self._executor = make_executor(self.node, self._context)
        # One for all buffers: its lock guards their messages, and each message wakes all waits.
        self._condition = threading.Condition()
        self._ended: Future[None] = Future()
        self._failure: BaseException | None = None  # of a callback, which ended the thread
        self._clients: dict[str, ServiceClient] = {}  # matched, by service
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        try:
            spin(self._executor, self._ended)
        except ExternalShutdownException:
            pass
        except Exception as error:
            self._failure = error
            if not isinstance(error, BrokenPipeError):
                raise

    def check_spinning(self) -> None:
        """Raise what a callback has raised: nothing is received any more from then on."""
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait until what was published has arrived, then destroy node and thread."""
        deadline = time.monotonic() + ACKNOWLEDGE_TIMEOUT
        for publisher in self.node.publishers:  # the last messages must not be lost
            publisher.wait_for_all_acked(Duration(seconds=max(deadline - time.monotonic(), 0.0)))
        self._ended.set_result(None)  # an executor must not be shut down while a thread spins it
        self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def subscribe(
        self,
        kind: type[T],
        topic: str,
        profile: QoSProfile = qos.RELIABLE,
        capacity: int = CAPACITY,
    ) -> MessageBuffer[T]:
        """Collect messages of ``topic`` from now on, and the present value of a latched one.

        The latest ``capacity`` are kept. ``close`` of the buffer ends the subscription.
        """
        buffer: MessageBuffer[T] = MessageBuffer(
            self._condition, capacity, lambda: self._unsubscribe(subscription)
        )
        subscription = self.node.create_subscription(kind, topic, buffer.append, profile)
        return buffer

    def _unsubscribe(self, subscription: Subscription) -> None:
        if not self._ended.done():
            self.run_in_executor(self.node.destroy_subscription, subscription)

    def run_in_executor(self, act: Callable[..., T], *args: object) -> T:
        """Return the result of ``act`` in the thread that spins: between two callbacks.

        In this thread where that one has ended.
        """
        done = threading.Event()
        task = self._executor.create_task(act, *args)
        task.add_done_callback(lambda _: done.set())
        while not done.wait(POLL_PERIOD):
            if not self._thread.is_alive():
                return act(*args)
        return task.result()

    def subscribe_episodes(self) -> MessageBuffer[EpisodeStatus]:
        """Collect the changes of the episode without a gap, beginning with the latest."""
        buffer: MessageBuffer[EpisodeStatus] = MessageBuffer(self._condition)
        changes = EpisodeChanges()

        def on_history(history: EpisodeHistory) -> None:
            for status in changes.new_in(history.statuses):
                buffer.append(status)

        self.node.create_subscription(EpisodeHistory, "episode_history", on_history, qos.LATCHED)
        return buffer

    def create_publisher(
        self, kind: type, topic: str, profile: QoSProfile = qos.RELIABLE
    ) -> Publisher:
        """Create a publisher on ``topic``."""
        return self.node.create_publisher(kind, topic, profile)

    def create_action_client(self, kind: type, name: str) -> ActionClient:
        """Create the client of an action.

        The thread that spins creates it: rclpy would spin it before it is complete.
        """
        return self.run_in_executor(ActionClient, self.node, kind, name)

    def wait_for_service(self, kind: type, name: str) -> ServiceClient:
        """Return the client of a service once each has matched the other: none loses a call.

        Raises WaitTimeoutError when it is not there.
        """
        client = self._clients.get(name) or self.node.create_client(kind, name)
        description = f"service {self.node.resolve_service_name(name)}"
        self.wait_until(client.service_is_ready, description, DISCOVERY_TIMEOUT, SUITE_HINT)
        if name not in self._clients:
            self._clients[name] = client
            self.wait_until_matched(name)
        return client

    def wait_until_matched(self, service: str) -> None:
        """Wait until the server of a service has matched all that was created here before.

        Raises WaitTimeoutError where its node is gone or publishes no heartbeats any more.
        """
        self.wait_until(
            lambda: server_is_known(self.node, service),
            f"node of service {service}",
            DISCOVERY_TIMEOUT,
        )
        names = server_heartbeats(self.node, service)
        if names():
            with self.subscribe(Heartbeat, "heartbeat") as beats:
                description = f"heartbeat of the node that serves {service}"
                beats.wait(lambda beat: beat.node in names(), DISCOVERY_TIMEOUT, description)

    def call(self, kind: type, name: str, request: object, timeout: float = 15.0) -> Any:
        """Call a service. Raises WaitTimeoutError when it is not there or does not answer."""
        client = self.wait_for_service(kind, name)
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not wait_with_progress(done.wait, timeout, lambda: f"the answer of service {name}"):
            client.remove_pending_request(future)
            raise WaitTimeoutError(f"service {name} did not answer within {timeout:g} s", timeout)
        return future.result()

    def get_parameters(self, node: str, *names: str) -> list[Any]:
        """Return the values of a node's parameters. Raises WaitTimeoutError."""
        request = GetParameters.Request(names=names)
        response = self.call(GetParameters, f"{node}/get_parameters", request)
        return [parameter_value_to_python(value) for value in response.values]

    def set_parameter(self, node: str, name: str, value: object) -> None:
        """Set a node's parameter. Raises VimaError (BAD_PARAMETER), WaitTimeoutError."""
        message = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[message])
        (result,) = self.call(SetParameters, f"{node}/set_parameters", request).results
        if not result.successful:
            raise VimaError("BAD_PARAMETER", f"{node}: {result.reason}")

    def wait_for_active(
        self, names: Iterable[str], timeout: float = 120.0, check: Callable = lambda: None
    ) -> None:
        """Wait until the heartbeats of all ``names`` report active; ``check`` may raise meanwhile.

        Raises WaitTimeoutError naming the nodes that are not.
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
                f"{name} ({STATE_NAMES.get(state, state)})"
                for name, state in states.items()
                if state != State.PRIMARY_STATE_ACTIVE
            )

        def describe() -> str:
            hint = "" if any(states.values()) else SUITE_HINT
            return f"nodes in namespace {own} to become active: {missing()}{hint}"

        try:
            with self.subscribe(Heartbeat, "heartbeat") as beats:
                beats.wait(all_active, timeout, describe, check=check)
        except WaitTimeoutError as error:
            raise WaitTimeoutError(
                f"not active within {timeout:g} s: {missing()}", timeout
            ) from error

    def wait_for(self, find: Callable[[], T | None], timeout: float) -> T | None:
        """Return the first result of ``find`` that is not None, None after ``timeout`` [s].

        It is called again after each message of any buffer of this client.
        """
        found: list[T] = []

        def search() -> bool:
            result = find()
            found.extend([] if result is None else [result])
            return bool(found)

        with self._condition:
            return found[0] if self._condition.wait_for(search, timeout) else None

    def wait_until(
        self,
        condition: Callable[[], bool],
        description: str,
        timeout: float = 15.0,
        hint: str = "",
    ) -> None:
        """Poll a condition on the graph, such as matched endpoints, that no message reports.

        Raises WaitTimeoutError with the description.
        """

        def poll(seconds: float) -> bool:
            end = time.monotonic() + seconds
            while not (done := condition()) and time.monotonic() < end:
                time.sleep(0.02)
            return done

        if not wait_with_progress(poll, timeout, lambda: description + hint):
            raise WaitTimeoutError(f"no {description} within {timeout:g} s", timeout)
