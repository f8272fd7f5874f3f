"""Plays a recording into the running nodes and stands where the robot would."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from rcl_interfaces.srv import GetParameters

from vima_msgs.msg import (
    ArmCommand,
    ArmState,
    PerceptionStatus,
    PolicyAction,
    Prompt,
)
from vima_msgs.srv import SetPrompt
from vima_ros.client.bag_player.cameras import PlayedCameras
from vima_ros.client.bag_player.clock import PlayedClock
from vima_ros.client.bag_player.episode import PlayedEpisode
from vima_ros.client.bag_player.frame_pairs import FramePair, PairedStep
from vima_ros.client.client import Client
from vima_ros.errors import VimaError
from vima_ros.geometry import yaw_from_quaternion
from vima_ros.nodes.common import conversions, qos
from vima_ros.replay.frames import Frame
from vima_ros.replay.report import StepRecord
from vima_ros.specs import VIEWS, EndEffector, Primitive

T = TypeVar("T")
MILLISECOND = 1_000_000  # [ns]
WITHOUT_PAIR = (  # codes of a status that concerns no pair of images
    PerceptionStatus.NO_FRAMES,
    PerceptionStatus.BAD_STAMPS,
    PerceptionStatus.UNMATCHED_VIEWS,
)


class Player:
    """Publishes frames and /clock, and answers each command as a robot that always succeeds.

    All times [ns] are on the clock of the frames' stamps.

    ``step_timeout``: how long one pair of frames may take to lead to a decision [s].
    """

    def __init__(self, client: Client, end_effector: str, step_timeout: float) -> None:
        self._client, self._timeout = client, step_timeout
        self._end_effector = int(EndEffector[end_effector.upper()])
        self._clock = PlayedClock(client)
        self._pace: tuple[float, int, int] | None = None  # steady clock [s], stamp [ns], epoch
        self._cameras = PlayedCameras(client)
        self._arm_state = client.create_publisher(ArmState, "arm_state")
        self._statuses = client.subscribe(PerceptionStatus, "perception_status", qos.LATCHED)
        self._actions = client.subscribe(PolicyAction, "action")
        self._commands, self._carried_out = client.subscribe(ArmCommand, "arm_command"), 0
        self._answers = client.subscribe(ArmState, "arm_state")
        self._episode = PlayedEpisode(client)

    def begin(self, stamp: int) -> None:
        """Wait until what we publish is received, and all nodes' clocks are at ``stamp`` [ns].

        A motion that a killed replay has left under way is cancelled. Raises VimaError (TIMEOUT)
        naming the nodes that do not follow /clock.
        """
        self._client.wait_until(
            # arm, policy, us
            lambda: self._cameras.subscribed and self._arm_state.get_subscription_count() >= 3,
            "subscribers of front/image_raw, top/image_raw and arm_state",
        )
        self._clock.restart(stamp)
        self._episode.end_earlier_motion()

    def sync_slop(self) -> int:
        """How far the stamps of a pair may be apart for perception and the gate [ns]."""
        slops = []
        for node in ("perception", "arm"):
            request = GetParameters.Request(names=["sync_slop"])
            answer = self._client.call(GetParameters, f"{node}/get_parameters", request)
            slops.append(answer.values[0].double_value)
        return round(min(slops) * 1e9)

    def send_prompt(self, prompt: Prompt, stamp: int) -> dict[str, Any]:
        """Through the set_prompt service; what was sent and what was answered."""
        self.report(ArmState.IDLE, stamp)
        answer = self._client.call(SetPrompt, "set_prompt", SetPrompt.Request(prompt=prompt))
        self._episode.begin(answer.prompt_id)
        return {
            "text": prompt.text,
            "assets": [asset.name for asset in prompt.assets],
            "accepted": answer.success,
            "prompt_id": answer.prompt_id,
            "code": answer.code,
            "message": answer.message,
        }

    def report(self, state: int, stamp: int, command_id: str = "") -> None:
        """Speak for the robot."""
        message = ArmState(state=state, code=ArmState.OK, command_id=command_id)
        message.header.stamp = message.since = conversions.ns_to_stamp(stamp)
        message.end_effector = self._end_effector
        self._arm_state.publish(message)

    def publish(self, frame: Frame) -> None:
        """One recorded image, at the time of its stamp.

        Raises VimaError (BAD_IMAGE) for a damaged one that perception does not read as recorded.
        """
        self._clock.set(frame.stamp, frame.epoch)
        self._cameras.publish(frame)

    def play_locked(self, index: int, step: PairedStep) -> StepRecord:
        """Pair by pair, waiting for what each leads to, until a decision is made."""
        record = StepRecord(index, step.settled)
        if step.pairs:
            self.end_motion(step.pairs[0].first)
        for pair in step.pairs:
            marks = self._actions.count, self._statuses.count
            sent = time.monotonic()
            try:
                for frame in pair.frames:
                    self.publish(frame)
            except VimaError as error:
                record.message = f"{error.code}: {error}"
                continue
            if self._follow(record, [pair], sent, *marks) or record.episode:
                break
        return record

    def play_at_rate(self, index: int, step: PairedStep, rate: float) -> StepRecord:
        """All frames at ``rate`` times the recorded speed."""
        record = StepRecord(index, step.settled)
        marks = self._actions.count, self._statuses.count
        sent = time.monotonic()
        first = step.pairs[:1]
        for frame in step.frames:
            # The other of its two may have been played in the step before.
            if first and any(frame is each for each in first[0].frames):
                self.end_motion(first.pop().first)
            self._wait_for_turn(frame, rate)
            try:
                self.publish(frame)
            except VimaError as error:
                record.message = f"{error.code}: {error}"
        if step.pairs:
            self._follow(record, step.pairs, sent, *marks)
        return record

    def _wait_for_turn(self, frame: Frame, rate: float) -> None:
        if self._pace is None or self._pace[2] != frame.epoch:
            self._pace = time.monotonic(), frame.stamp, frame.epoch
        due = self._pace[0] + (frame.stamp - self._pace[1]) / 1e9 / rate
        time.sleep(max(due - time.monotonic(), 0.0))

    def end_motion(self, before: Frame | None = None) -> None:
        """Before that frame, or now, the robot has done all it was told since the last call."""
        if before is None:
            stamp, epoch = self._clock.now + MILLISECOND, self._clock.epoch
        else:
            stamp, epoch = before.stamp - 1, before.epoch
        told = self._commands.messages[self._carried_out :]
        self._carried_out += len(told)
        for command in told:
            if command.waypoints:
                self._clock.set(stamp, epoch)
                self.report(ArmState.SUCCEEDED, stamp, command.command_id)

    def _follow(
        self, record: StepRecord, pairs: list[FramePair], sent: float, actions: int, statuses: int
    ) -> bool:
        """Fill in what perception, policy and gate made of one of the pairs; if it was decided."""

        def reached(pair: FramePair, status: PerceptionStatus) -> bool:
            stamps = {v: conversions.stamp_to_ns(getattr(status, f"{v}_stamp")) for v in VIEWS}
            return any(stamps[frame.view] >= frame.stamp for frame in pair.frames)

        def concerns(status: PerceptionStatus) -> bool:
            if status.code in WITHOUT_PAIR:
                return False
            seen = status.code == PerceptionStatus.OK
            return reached(pairs[-1], status) or (seen and reached(pairs[0], status))

        try:
            status = self._statuses.wait(
                concerns, self._timeout, "perception_status", statuses, quiet=True
            )
            record.objects = {"front": status.front_count, "top": status.top_count}
            record.times["detection"] = status.detection_time
            if status.code != PerceptionStatus.OK:
                record.message = f"{status.code}: {status.message}"
                return False
            action = self._wait_for(
                record, lambda: next(iter(self._actions.messages[actions:]), None), "action"
            )
            record.times["decision"] = time.monotonic() - sent
            self._take_action(record, action)
            self._take_answer(record)
            record.times["command"] = time.monotonic() - sent
        except VimaError as error:
            record.message = str(error)
        return record.decided

    def _take_action(self, record: StepRecord, action: PolicyAction) -> None:
        record.command_id = conversions.action_id(action)
        record.stamp_ns = conversions.stamp_to_ns(action.observation_stamp)
        record.bins = [int(b) for b in action.bins]
        record.primitive = Primitive(action.primitive).name
        record.confidence = [round(float(c), 4) for c in action.confidence]
        for name in ("pose0", "pose1"):
            pose = conversions.pose_from_message(getattr(action, name))
            setattr(record, name, [*pose.position[:2].tolist(), _yaw(pose.quaternion)])

    def _take_answer(self, record: StepRecord) -> None:
        """The gate either sends a command or says REFUSED; whichever comes first."""

        def find() -> ArmCommand | ArmState | None:
            mine = record.command_id
            for command in self._commands.messages:
                if command.command_id == mine and command.waypoints:
                    return command
            for answer in self._answers.messages:
                if answer.command_id == mine and answer.state == ArmState.REFUSED:
                    return answer
            return None

        answer = self._wait_for(record, find, "command or refusal")
        if isinstance(answer, ArmCommand):
            record.code, record.message = "OK", ""
            record.waypoints = [_waypoint(w) for w in answer.waypoints]
        else:
            record.code, record.message = answer.code, answer.message

    def _wait_for(self, record: StepRecord, find: Callable[[], T | None], what: str) -> T:
        """Return what ``find`` finds, waiting for as long as the episode goes on.

        Raises VimaError: the code by which the episode has ended or paused, TIMEOUT.
        """
        deadline = time.monotonic() + self._timeout
        while True:
            end = self._episode.end()  # before the search: what came before it counts
            found = find()
            if found is not None:
                return found
            if end is not None:
                record.episode = end.code
                raise VimaError(end.code, f"{end.code}: {end}")
            if time.monotonic() > deadline:
                told = f"no {what} within {self._timeout:g} s; {self._episode.describe()}"
                raise VimaError("TIMEOUT", told)
            time.sleep(0.001)


def _yaw(quaternion: Any) -> float | None:
    """None where the policy's quaternion has no yaw [rad]."""
    try:
        return yaw_from_quaternion(quaternion)
    except VimaError:
        return None


def _waypoint(waypoint: Any) -> dict[str, Any]:
    pose = conversions.pose_from_message(waypoint.pose)
    x, y, z = pose.position.tolist()
    yaw, on = _yaw(pose.quaternion), waypoint.tool_on
    return {"x": x, "y": y, "z": z, "yaw": yaw, "tool_on": on, "max_speed": waypoint.max_speed}
