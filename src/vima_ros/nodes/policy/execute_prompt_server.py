"""Server of the action ``execute_prompt``: one episode per goal."""

from __future__ import annotations

from lifecycle_msgs.msg import State
from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle

from vima_msgs.action import ExecutePrompt
from vima_msgs.msg import EpisodeStatus, PolicyAction, PromptTokens
from vima_msgs.srv import SetPrompt
from vima_ros.errors import VimaError, WaitTimeoutError
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.policy.arm_client import ArmClient
from vima_ros.nodes.policy.episode_manager import EpisodeManager
from vima_ros.nodes.policy.parameters import PolicyParameters
from vima_ros.nodes.policy.running_goal import RunningGoal

Result = ExecutePrompt.Result
ERROR_CODES = {  # by the code of an episode; any other is POLICY_FAILED
    EpisodeStatus.SUCCESS: Result.NONE,
    EpisodeStatus.UNREADABLE_PROMPT: Result.PROMPT_REFUSED,
    EpisodeStatus.NO_IMAGES: Result.PROMPT_REFUSED,
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
SEND_AGAIN = "send it again once all nodes are active"
STATE_NAMES = {
    getattr(State, name): name.partition("_STATE_")[2].lower()
    for name in dir(State)
    if "_STATE_" in name
}


class ExecutePromptServer:
    """Action server for one goal at a time, which it owns.

    A goal that cannot begin is aborted with a reason (a rejection has none). A goal sends its
    prompt to the prompt node, held, and begins the episode when both the response and the tokens
    have arrived, in either order. Callbacks run in the executor's thread, also while a goal waits.
    """

    def __init__(
        self, node: VimaNode[PolicyParameters], arm: ArmClient, episodes: EpisodeManager
    ) -> None:
        self._node, self._arm, self._episodes = node, arm, episodes
        self._goal: RunningGoal | None = None
        self._set_prompt_client = node.create_client(SetPrompt, "set_prompt")
        self._server = ActionServer(
            node,
            ExecutePrompt,
            "execute_prompt",
            self._execute,
            cancel_callback=self._on_cancel,
            callback_group=node.reentrant_group,
        )
        node.resources.callback(self._server.destroy)
        episodes.add_listener(self._on_change)

    @property
    def busy(self) -> bool:
        """True while a goal runs."""
        return self._goal is not None

    def take_tokens(self, tokens: PromptTokens) -> bool:
        """Take the tokens of a prompt while a goal runs; return False if none runs.

        Those of another prompt than the goal's are held: ``step`` begins it later.
        """
        goal = self._goal
        if goal is None:
            return False
        if not goal.prompt_id:
            goal.received.append(tokens)
        elif tokens.prompt_id != goal.prompt_id:
            self._hold(tokens)
        elif not goal.tokens.done():
            self._episodes.hold_prompt(tokens)
            goal.tokens.set_result(tokens)
        return True

    def _hold(self, tokens: PromptTokens) -> None:
        if self._episodes.hold_prompt(tokens):
            self._node.get_logger().warning(
                f"prompt {tokens.prompt_id} waits for step: an ExecutePrompt goal is running"
            )

    async def _execute(self, handle: ServerGoalHandle) -> ExecutePrompt.Result:
        refusal = self._reason_to_refuse()
        if refusal is not None:
            return self._conclude(handle, *refusal)
        self._goal = goal = RunningGoal(handle)
        try:
            return self._conclude(handle, *await self._run(goal))
        finally:
            self._goal = None
            for tokens in goal.received:  # its prompt was refused; these are others
                self._hold(tokens)

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
            return Result.NOT_ACTIVE, f"NOT_ACTIVE: {', '.join(inactive)}; {SEND_AGAIN}"
        episode = self._episodes.episode
        runs = episode.running and not episode.waiting_for_step  # one waiting for step gives way
        if self.busy or runs:
            what = f"prompt {episode.prompt_id}: {episode.text}" if runs else "a goal"
            return Result.BUSY, f"BUSY: {what} is running; cancel it, or call reset_episode, first"
        if episode.stop_reason:
            return Result.STOPPED, f"STOPPED: {episode.describe_stop(self._node.now_ns())}"
        return None

    async def _run(self, goal: RunningGoal) -> tuple[int, str, int]:
        """Run the episode of a goal; return error code, message and number of steps."""
        try:
            tokens = await self._submit(goal)
        except VimaError as error:
            died = isinstance(error, WaitTimeoutError)
            code = Result.NODE_DIED if died else Result.PROMPT_REFUSED
            return code, f"{error.code}: {error}", 0
        if goal.cancel_requested:
            message = "CANCELLED: the goal was cancelled before the first decision"
            return Result.CANCELLED, message, 0
        if not self._node.active:  # deactivated since the goal was accepted
            return Result.NOT_ACTIVE, f"NOT_ACTIVE: policy is not active; {SEND_AGAIN}", 0
        self._episodes.begin(tokens, by_goal=True, steps=goal.handle.request.max_steps)
        episode = await goal.ended
        # The result is sent when nothing moves any more.
        await self._arm.wait_for_cancel(self._episodes.cancellation)
        code = ERROR_CODES.get(episode.code, Result.POLICY_FAILED)
        message = f"{episode.code}: {episode.message}"
        return code, "" if code == Result.NONE else message, episode.step

    async def _submit(self, goal: RunningGoal) -> PromptTokens:
        """Send the prompt to the prompt node and return its tokens.

        Raises VimaError with the prompt node's code, or WaitTimeoutError.
        """
        timeout = self._node.parameters.response_timeout
        request = SetPrompt.Request(prompt=goal.handle.request.prompt, hold=True)
        response = await self._node.wait_for_response(
            self._set_prompt_client.call_async(request), timeout
        )
        if not response.success:
            raise VimaError(response.code, response.message)
        goal.prompt_id = response.prompt_id
        while goal.received:
            self.take_tokens(goal.received.popleft())
        return await self._node.wait_for_response(goal.tokens, timeout)

    def _conclude(
        self, handle: ServerGoalHandle, code: int, message: str, steps: int = 0
    ) -> ExecutePrompt.Result:
        if code == Result.NONE:
            handle.succeed()
        elif handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        if message:
            self._node.get_logger().info(f"execute_prompt has ended: {message}")
        return Result(error_code=code, error_msg=message, steps=steps)

    def _on_cancel(self, handle: ServerGoalHandle) -> CancelResponse:
        goal = self._goal
        if goal is None or handle is not goal.handle:
            return CancelResponse.REJECT
        goal.cancel_requested = True
        if self._episodes.episode.by_goal and self._episodes.episode.running:
            self._episodes.end(EpisodeStatus.CANCELLED, "the goal was cancelled")
        return CancelResponse.ACCEPT

    def _on_change(self) -> None:
        """Publish feedback of the running goal, and end it with its episode."""
        goal, episode = self._goal, self._episodes.episode
        if goal is None or not episode.by_goal or episode.prompt_id != goal.prompt_id:
            return
        if episode.running:
            feedback = ExecutePrompt.Feedback(step=episode.step, stage=episode.stage)
            feedback.action = self._episodes.action or PolicyAction()
            goal.handle.publish_feedback(feedback)
        elif not goal.ended.done():
            goal.ended.set_result(episode)
