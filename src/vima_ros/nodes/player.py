"""Plays a recording into the running nodes and stands where the robot would."""

from __future__ import annotations

import time
from typing import Any

from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from vima_msgs.msg import (
    ArmCommand,
    ArmState,
    Heartbeat,
    PerceptionStatus,
    PolicyAction,
    Prompt,
    PromptAsset,
)
from vima_msgs.srv import SetPrompt
from vima_ros.errors import VimaError
from vima_ros.geometry import yaw_from_quaternion
from vima_ros.nodes import conversions, qos
from vima_ros.nodes.client import Client
from vima_ros.nodes.eyes_pairs import UNPAIRED
from vima_ros.replay.bag import Frame, RecordedPrompt, Step
from vima_ros.replay.report import StepRecord
from vima_ros.specs import VIEWS, EndEffector, Primitive


class Player:
    """Publishes frames and /clock, and answers each command as a robot that always succeeds.

    ``step_timeout``: how long one pair of frames may take to lead to a decision [s].
    """

    def __init__(self, client: Client, end_effector: str, step_timeout: float) -> None:
        self._client, self._timeout = client, step_timeout
        self._end_effector = int(EndEffector[end_effector.upper()])
        self._clock, self._now = client.publisher(Clock, "/clock"), Clock()
        client.node.create_timer(0.05, lambda: self._clock.publish(self._now))
        self._cameras = {
            view: client.publisher(Image, f"{view}/image_raw", qos.RELIABLE) for view in VIEWS
        }
        self._arm_state = client.publisher(ArmState, "arm_state")
        self._statuses = client.listen(PerceptionStatus, "perception_status", qos.LATCHED)
        self._actions = client.listen(PolicyAction, "action")
        self._commands, self._carried_out = client.listen(ArmCommand, "arm_command"), 0
        self._answers = client.listen(ArmState, "arm_state")

    def begin(self, stamp: int) -> None:
        """Wait until what we publish is heard, and all nodes' clocks say ``stamp`` [ns].

        Raises VimaError (TIMEOUT) naming the nodes that do not follow /clock.
        """
        needed = {self._arm_state: 3} | dict.fromkeys(self._cameras.values(), 1)  # arm, policy, us
        self._client.wait_until(
            lambda: all(p.get_subscription_count() >= n for p, n in needed.items()), "subscribers"
        )
        self.set_clock(stamp)
        astray = {"perception", "prompt", "policy", "arm"}

        def all_follow(beat: Heartbeat) -> bool:
            if conversions.stamp_to_ns(beat.header.stamp) == stamp:
                astray.discard(beat.node.rpartition("/")[2])
            return not astray

        try:
            self._client.listen(Heartbeat, "heartbeat").wait(all_follow, 15, "heartbeat")
        except VimaError as error:
            raise VimaError(
                "TIMEOUT", f"{sorted(astray)} do not follow /clock; valid: use_sim_time true"
            ) from error

    def set_clock(self, stamp: int) -> None:
        """Let simulation time be ``stamp`` [ns]."""
        self._now = Clock(clock=conversions.ns_to_stamp(stamp))
        self._clock.publish(self._now)

    def send_prompt(self, recorded: RecordedPrompt, stamp: int) -> dict[str, Any]:
        """Through the set_prompt service; what was sent and what was answered."""
        self.report(ArmState.IDLE, stamp)
        if recorded.message is not None:
            prompt = deserialize_message(recorded.message, Prompt)
        else:
            prompt = Prompt(text=recorded.text)
            for asset in recorded.assets:
                views = {v: deserialize_message(data, Image) for v, data in asset.views.items()}
                prompt.assets.append(PromptAsset(name=asset.name, kind=int(asset.kind), **views))
        answer = self._client.call(SetPrompt, "set_prompt", SetPrompt.Request(prompt=prompt))
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
        message.header.stamp = conversions.ns_to_stamp(stamp)
        message.end_effector = self._end_effector
        self._arm_state.publish(message)

    def publish(self, frame: Frame) -> None:
        """One recorded image, as it was recorded, at its time."""
        self.set_clock(frame.stamp)
        self._cameras[frame.view].publish(frame.data)

    def play_locked(self, index: int, step: Step) -> StepRecord:
        """Pair by pair, waiting for what each leads to, until a decision is made."""
        record = StepRecord(index, step.settled)
        self.end_motion(step.settled - 1)
        settled = [frame for frame in step.frames if frame.stamp >= step.settled]
        for pair in zip(*([f for f in settled if f.view == v] for v in VIEWS), strict=False):
            marks = self._actions.count, self._statuses.count
            sent = time.monotonic()
            for frame in sorted(pair, key=lambda frame: frame.stamp):
                self.publish(frame)
            if self._follow(record, sent, *marks):
                break
        return record

    def play_at_rate(self, index: int, step: Step, rate: float, began: tuple) -> StepRecord:
        """All frames at ``rate`` times the recorded speed; ``began``: wall [s], recorded [ns]."""
        record = StepRecord(index, step.settled)
        marks = self._actions.count, self._statuses.count
        sent = time.monotonic()
        for frame in step.frames:
            if frame.stamp == step.settled:
                self.end_motion(frame.stamp - 1)
            due = began[0] + (frame.stamp - began[1]) / 1e9 / rate
            time.sleep(max(due - time.monotonic(), 0.0))
            self.publish(frame)
        self._follow(record, sent, *marks)
        return record

    def end_motion(self, stamp: int) -> None:
        """By ``stamp`` [ns] the robot has done all it was told since the last call."""
        told = self._commands.messages[self._carried_out :]
        self._carried_out += len(told)
        for command in told:
            if command.waypoints:
                self.set_clock(stamp)
                self.report(ArmState.SUCCEEDED, stamp, command.command_id)

    def _follow(self, record: StepRecord, sent: float, actions: int, statuses: int) -> bool:
        """Fill in what perception, policy and gate made of the frames; whether it was decided."""
        try:
            status = self._statuses.wait(
                lambda m: (
                    m.code not in UNPAIRED
                    and conversions.stamp_to_ns(m.header.stamp) >= record.stamp_ns
                ),
                self._timeout,
                "perception_status",
                statuses,
                quiet=True,
            )
            record.objects = {"front": status.front_count, "top": status.top_count}
            record.times["detection"] = status.detection_time
            if status.code != PerceptionStatus.OK:
                record.message = f"{status.code}: {status.message}"
                return False
            action = self._actions.wait(
                lambda m: True, self._timeout, "action", actions, quiet=True
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
        mine, deadline = record.command_id, time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            for command in self._commands.messages:
                if command.command_id == mine and command.waypoints:
                    record.code, record.message = "OK", ""
                    record.waypoints = [_waypoint(w) for w in command.waypoints]
                    return
            for answer in self._answers.messages:
                if answer.command_id == mine and answer.state == ArmState.REFUSED:
                    record.code, record.message = answer.code, answer.message
                    return
            time.sleep(0.001)
        raise VimaError("TIMEOUT", f"neither a command nor a refusal in {self._timeout:g} s")


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
