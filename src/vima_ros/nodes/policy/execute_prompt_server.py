"""The action ``execute_prompt``: a whole episode as one goal."""

from __future__ import annotations

from typing import Any

from lifecycle_msgs.msg import State
from rclpy.action import ActionServer, CancelResponse
from rclpy.task import Future

from vima_msgs.action import ExecutePrompt
from vima_msgs.msg import EpisodeStatus, PolicyAction, PromptTokens
from vima_msgs.srv import SetPrompt
from vima_ros.errors import VimaError

Result = ExecutePrompt.Result
ERRORS = {  # of an episode's code; any other is the policy's failure
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
NEVER_HEARD = 0
STATES = {  # of a node, for people
    getattr(State, name): name.partition("_STATE_")[2].lower()
    for name in dir(State)
    if "_STATE_" in name
}


class GoalServer:
    """One goal at a time. What cannot begin ends at once and says why (a rejection cannot).

    A goal sends its prompt to the prompt node, held, and begins the episode when both the answer
    and the tokens are here, in whichever order they come.
    """

    def __init__(self, node: Any, desk: Any) -> None:
        self._node, self._desk = node, desk
        self._goal: Any = None  # the handle of the goal that runs
        self._prompt_id = ""  # of its accepted prompt
        self._tokens = Future()  # prompt_tokens of the goal that runs
        self._ended = Future()  # of its episode
        self._cancel_asked = False
        self._setter = node.create_client(SetPrompt, "set_prompt")
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
        """Whether a goal runs."""
        return self._goal is not None

    @property
    def sending(self) -> bool:
        """Whether the goal that runs does not know its prompt's id yet."""
        return self.busy and not self._prompt_id

    def wants(self, prompt_id: str) -> bool:
        """Whether the goal that runs has sent this prompt."""
        return self.busy and prompt_id == self._prompt_id

    def take(self, tokens: PromptTokens) -> None:
        """The goal's prompt, ready for the policy."""
        if not self._tokens.done():
            self._tokens.set_result(tokens)

    async def _execute(self, goal: Any) -> Any:
        refusal = self._refusal()
        if refusal is not None:
            return self._conclude(goal, *refusal)
        self._goal, self._prompt_id, self._cancel_asked = goal, "", False
        self._tokens, self._ended = Future(), Future()
        try:
            return self._conclude(goal, *await self._run(goal.request))
        finally:
            self._goal = None

    def _refusal(self) -> tuple[int, str] | None:
        """Error code and message where no goal can begin now."""
        # Of one that died no heartbeat says how it is: it may be up again, and not heard yet.
        nodes = {name: node for name, node in self._desk.nodes.items() if not node.dead}
        asleep = [] if self._node.active else ["policy is not active"]
        asleep += [
            f"{name} is {STATES.get(node.state, node.state)}"
            for name, node in nodes.items()
            if node.state not in (NEVER_HEARD, State.PRIMARY_STATE_ACTIVE)
        ]
        if asleep:
            told = f"NOT_ACTIVE: {', '.join(asleep)}; send it again once all nodes are active"
            return Result.NOT_ACTIVE, told
        episode = self._desk.episode
        runs = episode.running and not episode.waiting_for_step  # who waits for step gives way
        if self.busy or runs:
            what = f"prompt {episode.prompt_id}: {episode.text}" if runs else "a goal"
            return Result.BUSY, f"{what} runs; cancel it, or call reset_episode, first"
        if episode.stopped:
            return Result.STOPPED, f"STOPPED: {episode.why_stopped(self._node.now_ns())}"
        return None

    async def _run(self, request: Any) -> tuple[int, str]:
        """The error code and message."""
        try:
            tokens = await self._submit(request.prompt)
        except VimaError as error:
            code = Result.NODE_DIED if error.code == "TIMEOUT" else Result.PROMPT_REFUSED
            return code, f"{error.code}: {error}"
        if self._cancel_asked:
            return Result.CANCELLED, "cancelled before the first decision"
        self._desk.begin(tokens, by_goal=True, steps=request.max_steps)
        await self._ended
        episode = self._desk.episode
        await self._desk.motion_ended()  # the result comes when nothing moves any more
        code = ERRORS.get(episode.code, Result.POLICY_FAILED)
        told = f"{episode.code}: {episode.message}"
        return code, "" if code == Result.NONE else told

    async def _submit(self, prompt: Any) -> PromptTokens:
        """What the prompt node makes of it; raises VimaError with its code, or TIMEOUT."""
        patience = self._node.parameters.response_timeout
        request = SetPrompt.Request(prompt=prompt, hold=True)
        answer = await self._node.wait_for_response(self._setter.call_async(request), patience)
        if not answer.success:
            raise VimaError(answer.code, answer.message)
        self._prompt_id = answer.prompt_id
        held = self._desk.prompt
        if held is not None and held.prompt_id == answer.prompt_id:
            return held  # the tokens came before the answer
        return await self._node.wait_for_response(self._tokens, patience)

    def _conclude(self, goal: Any, code: int, message: str) -> Any:
        if code == Result.NONE:
            goal.succeed()
        elif goal.is_cancel_requested:
            goal.canceled()
        else:
            goal.abort()
        if message:
            self._node.get_logger().info(f"execute_prompt ends: {message}")
        steps = self._desk.episode.step if goal is self._goal and self._prompt_id else 0
        return Result(error_code=code, error_msg=message, steps=steps)

    def _on_cancel(self, goal: Any) -> CancelResponse:
        if goal is not self._goal:
            return CancelResponse.REJECT
        self._cancel_asked = True
        if self._desk.episode.by_goal and self._desk.episode.running:
            self._desk.end(EpisodeStatus.CANCELLED, "the goal was cancelled")
        return CancelResponse.ACCEPT

    def changed(self) -> None:
        """The episode has: tell who sent the goal, and end it with its episode."""
        episode = self._desk.episode
        if not (self.busy and episode.by_goal and episode.prompt_id == self._prompt_id):
            return
        if episode.running:
            feedback = ExecutePrompt.Feedback(step=episode.step, stage=episode.stage)
            feedback.action = self._desk.action or PolicyAction()
            self._goal.publish_feedback(feedback)
        elif not self._ended.done():
            self._ended.set_result(None)

    def destroy(self) -> None:
        """Take the action down."""
        self._server.destroy()
