"""Server of the action ``execute_prompt``: one episode per goal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lifecycle_msgs.msg import State
from rclpy.action import ActionServer, CancelResponse
from rclpy.task import Future

from vima_msgs.action import ExecutePrompt
from vima_msgs.msg import EpisodeStatus, PolicyAction, PromptTokens
from vima_msgs.srv import SetPrompt
from vima_ros.errors import VimaError, WaitTimeoutError

if TYPE_CHECKING:
    from vima_ros.nodes.policy.episode_manager import EpisodeManager
    from vima_ros.nodes.policy.node import PolicyNode

Result = ExecutePrompt.Result
ERROR_CODES = {  # by the code of an episode; any other is POLICY_FAILED
    EpisodeStatus.SUCCESS: Result.NONE,
    EpisodeStatus.STEP_LIMIT: Result.STEP_LIMIT,
    EpisodeStatus.REFUSED: Result.REFUSED,
    EpisodeStatus.ARM_FAILED: Result.ARM_FAILED,
    EpisodeStatus.STOPPED: Result.STOPPED,
    EpisodeStatus.NO_OBSERVATION: Result.NO_OBSERVATION,
    EpisodeStatus.CANCELLED: Result.CANCELLED,
    EpisodeStatus.NODE_DIED: Result.NODE_DIED,
    EpisodeStatus.TASK_FAILED: Result.TASK_FAILED,
    EpisodeStatus.RESET: Result.RESET,
}
NO_HEARTBEAT = 0
STATE_NAMES = {
    getattr(State, name): name.partition("_STATE_")[2].lower()
    for name in dir(State)
    if "_STATE_" in name
}


class ExecutePromptServer:
    """Action server for one goal at a time.

    A goal that cannot begin is aborted with a reason (a rejection has none). A goal sends its
    prompt to the prompt node, held, and begins the episode when both the response and the tokens
    have arrived, in either order.
    """

    def __init__(self, node: PolicyNode, episodes: EpisodeManager) -> None:
        self._node, self._episodes = node, episodes
        self._goal: Any = None  # handle of the running goal
        self._prompt_id = ""  # of its accepted prompt
        self._tokens = Future()  # prompt_tokens of the running goal
        self._ended = Future()  # of its episode
        self._cancel_requested = False
        self._set_prompt_client = node.create_client(SetPrompt, "set_prompt")
        self._server = ActionServer(
            node,
            ExecutePrompt,
            "execute_prompt",
            self._execute,
            cancel_callback=self._on_cancel,
            callback_group=node.reentrant_group,
        )

    @property
    def busy(self) -> bool:
        """True while a goal runs."""
        return self._goal is not None

    @property
    def sending(self) -> bool:
        """True while the running goal does not know the id of its prompt yet."""
        return self.busy and not self._prompt_id

    def owns_prompt(self, prompt_id: str) -> bool:
        """Return True if the running goal has sent this prompt."""
        return self.busy and prompt_id == self._prompt_id

    def on_tokens(self, tokens: PromptTokens) -> None:
        """Process the tokens of the goal's prompt."""
        if not self._tokens.done():
            self._tokens.set_result(tokens)

    async def _execute(self, goal: Any) -> Any:
        refusal = self._reason_to_refuse()
        if refusal is not None:
            return self._conclude(goal, *refusal)
        self._goal, self._prompt_id, self._cancel_requested = goal, "", False
        self._tokens, self._ended = Future(), Future()
        try:
            return self._conclude(goal, *await self._run(goal.request))
        finally:
            self._goal = None

    def _reason_to_refuse(self) -> tuple[int, str] | None:
        """Return error code and message if no goal can begin now, else None."""
        # The state of a dead node is unknown: it may be running again without a heartbeat yet.
        nodes = {name: node for name, node in self._episodes.nodes.items() if not node.dead}
        inactive = [] if self._node.active else ["policy is not active"]
        inactive += [
            f"{name} is {STATE_NAMES.get(node.state, node.state)}"
            for name, node in nodes.items()
            if node.state not in (NO_HEARTBEAT, State.PRIMARY_STATE_ACTIVE)
        ]
        if inactive:
            message = f"NOT_ACTIVE: {', '.join(inactive)}; send it again once all nodes are active"
            return Result.NOT_ACTIVE, message
        episode = self._episodes.episode
        runs = episode.running and not episode.waiting_for_step  # one waiting for step gives way
        if self.busy or runs:
            what = f"prompt {episode.prompt_id}: {episode.text}" if runs else "a goal"
            return Result.BUSY, f"{what} is running; cancel it, or call reset_episode, first"
        if episode.stop_reason:
            return Result.STOPPED, f"STOPPED: {episode.describe_stop(self._node.now_ns())}"
        return None

    async def _run(self, request: Any) -> tuple[int, str]:
        """Run the episode of a goal; return error code and message."""
        try:
            tokens = await self._submit(request.prompt)
        except VimaError as error:
            died = isinstance(error, WaitTimeoutError)
            code = Result.NODE_DIED if died else Result.PROMPT_REFUSED
            return code, f"{error.code}: {error}"
        if self._cancel_requested:
            return Result.CANCELLED, "cancelled before the first decision"
        self._episodes.begin(tokens, by_goal=True, steps=request.max_steps)
        await self._ended
        episode = self._episodes.episode
        await self._episodes.wait_for_cancel()  # the result is sent when nothing moves any more
        code = ERROR_CODES.get(episode.code, Result.POLICY_FAILED)
        message = f"{episode.code}: {episode.message}"
        return code, "" if code == Result.NONE else message

    async def _submit(self, prompt: Any) -> PromptTokens:
        """Send the prompt to the prompt node and return its tokens.

        Raises VimaError with the prompt node's code, or TIMEOUT.
        """
        timeout = self._node.parameters.response_timeout
        request = SetPrompt.Request(prompt=prompt, hold=True)
        response = await self._node.wait_for_response(
            self._set_prompt_client.call_async(request), timeout
        )
        if not response.success:
            raise VimaError(response.code, response.message)
        self._prompt_id = response.prompt_id
        held = self._episodes.prompt
        if held is not None and held.prompt_id == response.prompt_id:
            return held  # the tokens arrived before the response
        return await self._node.wait_for_response(self._tokens, timeout)

    def _conclude(self, goal: Any, code: int, message: str) -> Any:
        if code == Result.NONE:
            goal.succeed()
        elif goal.is_cancel_requested:
            goal.canceled()
        else:
            goal.abort()
        if message:
            self._node.get_logger().info(f"execute_prompt has ended: {message}")
        steps = self._episodes.episode.step if goal is self._goal and self._prompt_id else 0
        return Result(error_code=code, error_msg=message, steps=steps)

    def _on_cancel(self, goal: Any) -> CancelResponse:
        if goal is not self._goal:
            return CancelResponse.REJECT
        self._cancel_requested = True
        if self._episodes.episode.by_goal and self._episodes.episode.running:
            self._episodes.end(EpisodeStatus.CANCELLED, "the goal was cancelled")
        return CancelResponse.ACCEPT

    def on_change(self) -> None:
        """Publish feedback of the running goal, and end it with its episode."""
        episode = self._episodes.episode
        if not (self.busy and episode.by_goal and episode.prompt_id == self._prompt_id):
            return
        if episode.running:
            feedback = ExecutePrompt.Feedback(step=episode.step, stage=episode.stage)
            feedback.action = self._episodes.action or PolicyAction()
            self._goal.publish_feedback(feedback)
        elif not self._ended.done():
            self._ended.set_result(None)

    def destroy(self) -> None:
        """Destroy the action server."""
        self._server.destroy()
