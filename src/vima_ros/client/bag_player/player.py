"""Player of a recording into the running nodes, in place of cameras and robot."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from vima_msgs.msg import (
    ArmCommand,
    ArmState,
    ArmWaypoint,
    PerceptionStatus,
    PolicyAction,
    PolicyInputs,
    Prompt,
)
from vima_msgs.srv import SetPrompt
from vima_ros.client.bag_player.cameras import BagCameras
from vima_ros.client.bag_player.clock import BagClock
from vima_ros.client.bag_player.episode import BagEpisode
from vima_ros.client.bag_player.frame_pairs import FramePair, PairedStep
from vima_ros.client.client import Client
from vima_ros.client.command_ends import ends_command
from vima_ros.errors import VimaError, WaitTimeoutError
from vima_ros.geometry import yaw_from_quaternion
from vima_ros.nodes.common import action_conversions, conversions, qos
from vima_ros.nodes.common.node_names import ARM, PERCEPTION
from vima_ros.replay.frames import Frame
from vima_ros.replay.report import StepRecord
from vima_ros.specs import VIEWS, EndEffector, Primitive

T = TypeVar("T")
MILLISECOND = 1_000_000  # [ns]
REPORTS, REPORT_PERIOD = 5, 1.0  # of a robot's success, repeated every [s]
WITHOUT_PAIR = (  # codes of a status that concerns no pair of images
    PerceptionStatus.NO_FRAMES,
    PerceptionStatus.BAD_STAMPS,
    PerceptionStatus.UNMATCHED_VIEWS,
)


class _Marks(NamedTuple):
    """Numbers of the next messages, before images are played."""

    actions: int
    statuses: int
    commands: int
    arm_states: int


class BagPlayer:
    """Publishes images and /clock, and reports success for each command as a robot would.

    All times [ns] are on the clock of the images' stamps.

    ``step_timeout``: time within which a pair of images has to lead to a decision [s].
    """

    def __init__(self, client: Client, end_effector: str, step_timeout: float) -> None:
        self._client, self._timeout = client, step_timeout
        self._end_effector = int(EndEffector[end_effector.upper()])
        self._clock = BagClock(client)
        self._pace: tuple[float, int, int] | None = None  # steady clock [s], stamp [ns], epoch
        self._cameras = BagCameras(client)
        self._arm_state = client.create_publisher(ArmState, "arm_state")
        self._statuses = client.subscribe(PerceptionStatus, "perception_status", qos.LATCHED)
        self._actions = client.subscribe(PolicyAction, "action")
        self._commands, self._completed = client.subscribe(ArmCommand, "arm_command"), 0
        self._arm_states = client.subscribe(ArmState, "arm_state")
        self._episode = BagEpisode(client)

    def start(self, stamp: int) -> None:
        """Wait until the topics have subscribers and all nodes' clocks are at ``stamp`` [ns].

        A motion that a killed replay has left under way is cancelled. Raises VimaError (TIMEOUT)
        naming the nodes that do not follow /clock.
        """
        self._client.wait_until(
            # arm, policy, us
            lambda: self._cameras.subscribed and self._arm_state.get_subscription_count() >= 3,
            "subscribers of front/image_raw, top/image_raw and arm_state",
        )
        self._clock.restart(stamp)
        self._episode.cancel_earlier_motion()

    def sync_slop(self) -> int:
        """Return the maximum time between the stamps of a pair, for perception and gate [ns]."""
        slops = [
            slop
            for node in (PERCEPTION, ARM)
            for slop in self._client.get_parameters(node, "sync_slop")
        ]
        return round(min(slops) * 1e9)

    def send_prompt(self, prompt: Prompt, stamp: int) -> dict[str, Any]:
        """Send the prompt by the service set_prompt; return it and the response."""
        self.publish_arm_state(ArmState.IDLE, stamp)
        answer = self._client.call(SetPrompt, "set_prompt", SetPrompt.Request(prompt=prompt))
        self._episode.follow(answer.prompt_id)
        return {
            "text": prompt.text,
            "assets": [asset.name for asset in prompt.assets],
            "accepted": answer.success,
            "prompt_id": answer.prompt_id,
            "code": answer.code,
            "message": answer.message,
        }

    def publish_arm_state(self, state: int, stamp: int, command_id: str = "") -> None:
        """Publish the state of the robot."""
        message = ArmState(state=state, code=ArmState.OK, command_id=command_id)
        message.header.stamp = message.since = conversions.ns_to_stamp(stamp)
        message.end_effector = self._end_effector
        self._arm_state.publish(message)

    def publish(self, frame: Frame) -> None:
        """Publish one recorded image and set the clock to its stamp.

        Raises VimaError (BAD_IMAGE) for a damaged one that has to be converted for perception.
        """
        self._clock.set(frame.stamp, frame.epoch)
        self._cameras.publish(frame)

    def play_step(self, index: int, step: PairedStep) -> StepRecord:
        """Play pair by pair, waiting for the outcome of each, until a decision is made."""
        record = StepRecord(index, step.settled)
        if step.pairs:
            self.complete_commands(step.pairs[0].first)
        for pair in step.pairs:
            marks = self._marks()
            sent = time.monotonic()
            try:
                for frame in pair.frames:
                    self.publish(frame)
            except VimaError as error:
                record.message = f"{error.code}: {error}"
                continue
            if self._record_outcome(record, [pair], sent, marks) or record.episode:
                break
        return record

    def play_at_rate(self, index: int, step: PairedStep, rate: float) -> StepRecord:
        """Play all images at ``rate`` times the recorded speed."""
        record = StepRecord(index, step.settled)
        marks = self._marks()
        sent = time.monotonic()
        first = step.pairs[:1]
        for frame in step.frames:
            # The other of its two may have been played in the step before.
            if first and any(frame is each for each in first[0].frames):
                self.complete_commands(first.pop().first)
            self._wait_for_turn(frame, rate)
            try:
                self.publish(frame)
            except VimaError as error:
                record.message = f"{error.code}: {error}"
        if step.pairs:
            self._record_outcome(record, step.pairs, sent, marks)
        return record

    def _marks(self) -> _Marks:
        buffers = self._actions, self._statuses, self._commands, self._arm_states
        return _Marks(*(buffer.count for buffer in buffers))

    def _wait_for_turn(self, frame: Frame, rate: float) -> None:
        if self._pace is None or self._pace[2] != frame.epoch:
            self._pace = time.monotonic(), frame.stamp, frame.epoch
        due = self._pace[0] + (frame.stamp - self._pace[1]) / 1e9 / rate
        time.sleep(max(due - time.monotonic(), 0.0))

    def complete_commands(self, before: Frame | None = None) -> None:
        """Report success for all commands since the last call, before a frame or now."""
        if before is None:
            stamp, epoch = self._clock.now + MILLISECOND, self._clock.epoch
        else:
            stamp, epoch = before.stamp - 1, before.epoch
        commands = self._commands.since(self._completed)
        self._completed += len(commands)
        for command in commands:
            if command.waypoints:
                self._clock.set(stamp, epoch)
                self.publish_arm_state(ArmState.SUCCEEDED, stamp, command.command_id)
                if before is None:
                    self._repeat_until_ended(stamp, command.command_id)

    def _repeat_until_ended(self, stamp: int, command_id: str) -> None:
        """Repeat the report of success until the arm node has ended the command."""

        def ended() -> bool | None:
            return any(ends_command(s, command_id) for s in self._arm_states.messages) or None

        for _ in range(REPORTS):
            if self._client.wait_for(ended, REPORT_PERIOD):
                return
            self.publish_arm_state(ArmState.SUCCEEDED, stamp, command_id)

    def _record_outcome(
        self, record: StepRecord, pairs: list[FramePair], sent: float, marks: _Marks
    ) -> bool:
        """Record the outputs of perception, policy and gate for the pairs; return if decided."""

        def reached(pair: FramePair, status: PerceptionStatus) -> bool:
            stamps = {v: conversions.stamp_to_ns(getattr(status, f"{v}_stamp")) for v in VIEWS}
            return any(stamps[frame.view] >= frame.stamp for frame in pair.frames)

        def concerns(status: PerceptionStatus) -> bool:
            if status.code in WITHOUT_PAIR:
                return False
            usable = status.code == PerceptionStatus.OK
            return reached(pairs[-1], status) or (usable and reached(pairs[0], status))

        try:
            status = self._statuses.wait(
                concerns, self._timeout, "perception_status", marks.statuses, quiet=True
            )
            if status.observation == PolicyInputs.OBJECTS:
                record.objects = {"front": status.front_count, "top": status.top_count}
            record.times["detection"] = status.detection_time
            if status.code != PerceptionStatus.OK:
                record.message = f"{status.code}: {status.message}"
                return False
            action = self._wait_for(
                record, lambda: next(iter(self._actions.since(marks.actions)), None), "action"
            )
            record.times["decision"] = time.monotonic() - sent
            self._record_action(record, action)
            self._record_gate_response(record, marks)
            record.times["command"] = time.monotonic() - sent
        except VimaError as error:
            record.message = str(error)
        return record.decided

    def _record_action(self, record: StepRecord, action: PolicyAction) -> None:
        record.command_id = action_conversions.action_id(action)
        record.stamp_ns = conversions.stamp_to_ns(action.observation_stamp)
        record.bins = [int(b) for b in action.bins]
        record.picked_track_id = action.picked_track_id
        record.primitive = Primitive(action.primitive).name
        record.confidence = [round(float(c), 4) for c in action.confidence]
        for name in ("pose0", "pose1"):
            pose = conversions.pose_from_message(getattr(action, name))
            setattr(record, name, [*pose.position[:2].tolist(), _yaw(pose.quaternion)])

    def _record_gate_response(self, record: StepRecord, marks: _Marks) -> None:
        """Record the gate's command or its refusal, whichever comes first."""

        def find() -> ArmCommand | ArmState | None:
            for command in self._commands.since(marks.commands):
                if command.command_id == record.command_id and command.waypoints:
                    return command
            for state in self._arm_states.since(marks.arm_states):
                if state.command_id == record.command_id and state.state == ArmState.REFUSED:
                    return state
            return None

        answer = self._wait_for(record, find, "command or refusal")
        if isinstance(answer, ArmCommand):
            record.code, record.message = "OK", ""
            record.waypoints = [_waypoint(w) for w in answer.waypoints]
        else:
            record.code, record.message = answer.code, answer.message

    def _wait_for(self, record: StepRecord, find: Callable[[], T | None], description: str) -> T:
        """Return the first result of ``find``, waiting for as long as the episode goes on.

        Raises VimaError: the code with which the episode has ended or paused, TIMEOUT.
        """

        def search() -> T | None:
            end = self._episode.find_end()  # before the search: earlier messages count
            found = find()
            if found is None and end is not None:
                record.episode = end.code
                raise VimaError(end.code, f"{end.code}: {end}")
            return found

        found = self._client.wait_for(search, self._timeout)
        if found is None:
            waited = f"no {description} within {self._timeout:g} s"
            raise WaitTimeoutError(f"{waited}; {self._episode.describe()}", self._timeout)
        return found


def _yaw(quaternion: np.ndarray) -> float | None:
    """Return the yaw [rad]; None where the policy's quaternion has none."""
    try:
        return yaw_from_quaternion(quaternion)
    except VimaError:
        return None


def _waypoint(waypoint: ArmWaypoint) -> dict[str, Any]:
    pose = conversions.pose_from_message(waypoint.pose)
    x, y, z = pose.position.tolist()
    yaw, on = _yaw(pose.quaternion), waypoint.tool_on
    return {"x": x, "y": y, "z": z, "yaw": yaw, "tool_on": on, "max_speed": waypoint.max_speed}
