"""Client of the action ``execute_prompt``: send a goal, follow it, cancel it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import State

from vima_msgs.action import ExecutePrompt
from vima_msgs.msg import Heartbeat, Prompt
from vima_ros.client.client import DISCOVERY_TIMEOUT, SUITE_HINT, Client
from vima_ros.client.message_buffer import CAPACITY, wait_with_progress
from vima_ros.errors import NodeDiedError, WaitTimeoutError

if TYPE_CHECKING:
    from rclpy.task import Future

ACTIVE, FINALIZED = State.PRIMARY_STATE_ACTIVE, State.PRIMARY_STATE_FINALIZED
UNCONFIGURED = State.PRIMARY_STATE_UNCONFIGURED
HEARTBEAT_TIMEOUT = 5.0  # silence of the policy node after which its goal is lost [s]
# For a goal to be accepted after an interrupt, so that it can be cancelled [s].
ACCEPT_TIMEOUT = 2.0
POLL_PERIOD = 0.2  # [s]


class ExecutePromptGoal:
    """One goal of the action ``execute_prompt``.

    ``on_feedback`` is called in the client's thread for each feedback message. ``status``: of
    action_msgs/GoalStatus, unknown until the result is there.

    Raises WaitTimeoutError where no node serves the action.
    """

    def __init__(
        self,
        client: Client,
        prompt: Prompt,
        max_steps: int = 0,
        on_feedback: Callable[[ExecutePrompt.Feedback], None] = lambda feedback: None,
    ) -> None:
        self._client, self._closed = client, False
        self._done = threading.Event()
        self._result: ExecutePrompt.Result | None = None
        self.status = GoalStatus.STATUS_UNKNOWN
        self._action = client.create_action_client(ExecutePrompt, "execute_prompt")
        name = client.node.resolve_service_name("execute_prompt")
        ready = self._action.server_is_ready
        client.wait_until(ready, f"action {name}", DISCOVERY_TIMEOUT, SUITE_HINT)
        client.wait_until_matched(f"{name}/_action/send_goal")
        self._heartbeats, self._checked = client.subscribe(Heartbeat, "heartbeat"), 0
        accepted, responses = threading.Event(), []
        goal = ExecutePrompt.Goal(prompt=prompt, max_steps=max_steps)

        def send() -> None:
            future = self._action.send_goal_async(goal, lambda m: on_feedback(m.feedback))
            future.add_done_callback(accept)

        def accept(future: Future) -> None:
            responses.append(future.result())
            accepted.set()

        self._interrupt: BaseException | None = None
        try:
            # Between two callbacks: rclpy 9.1 loses a response that arrives before it returns.
            client.run_in_executor(send)
            accepted_in_time = wait_with_progress(
                accepted.wait, DISCOVERY_TIMEOUT, lambda: f"{name} to accept"
            )
        except (KeyboardInterrupt, SystemExit) as interrupt:  # it may be accepted all the same
            accepted_in_time, self._interrupt = accepted.wait(ACCEPT_TIMEOUT), interrupt
            if not accepted_in_time:
                raise
        if not accepted_in_time:
            raise WaitTimeoutError("the policy node did not take the goal", DISCOVERY_TIMEOUT)
        (self._handle,) = responses
        self._handle.get_result_async().add_done_callback(self._on_result)

    def _on_result(self, future: Future) -> None:
        self.status, self._result = future.result().status, future.result().result
        self._done.set()

    def cancel(self) -> None:
        """Request the end; the result reports it."""
        self._handle.cancel_goal_async()

    def wait(self, timeout: float = float("inf")) -> ExecutePrompt.Result:
        """Return the result, after which the goal is closed.

        An interrupt from before the goal was accepted is raised here: it can be cancelled now.

        Raises NodeDiedError where the policy node ends or falls silent, WaitTimeoutError after
        ``timeout`` [s], and what ``on_feedback`` has raised.
        """
        interrupt, self._interrupt = self._interrupt, None
        if interrupt is not None:
            raise interrupt
        name = f"{self._client.node.get_namespace().rstrip('/')}/policy"
        began = received = time.monotonic()
        instance = None  # of the node that is active: another of its name may come and go
        while not self._done.wait(POLL_PERIOD):
            self._client.check_spinning()
            # Where nobody has waited for minutes, the oldest are not kept any more.
            first = max(self._checked, self._heartbeats.count - CAPACITY // 2)
            now, beats = time.monotonic(), self._heartbeats.since(first)
            self._checked = first + len(beats)
            for beat in (beat for beat in beats if beat.node == name):
                received = now
                instance = beat.instance_id if beat.state == ACTIVE else instance
                if beat.state == FINALIZED and instance in (None, beat.instance_id):
                    raise NodeDiedError(f"{name} has ended, and the episode with it", name)
                if beat.state == UNCONFIGURED and beat.instance_id == instance:
                    raise NodeDiedError(f"{name} was cleaned up, and the goal with it", name)
            if now - received > HEARTBEAT_TIMEOUT:
                raise NodeDiedError(
                    f"{name} has been silent for {HEARTBEAT_TIMEOUT:g} s; see its log", name
                )
            if now - began > timeout:
                raise WaitTimeoutError(f"the episode did not end within {timeout:g} s", timeout)
        self.close()
        return self._result

    def close(self) -> None:
        """End the subscription and destroy the action client."""
        if not self._closed:
            self._closed = True
            self._heartbeats.close()
            self._client.run_in_executor(self._action.destroy)
