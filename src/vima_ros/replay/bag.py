"""rosbag2 recordings (MCAP or SQLite) as prompt and steps; messages stay serialised (CDR)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from vima_ros.errors import VimaError
from vima_ros.specs import VIEWS, AssetKind, EndEffector

# Topics that mark when a decision was made while recording
ACTION_TOPICS = ("/oracle_action", "/vima/action", "/action")
CANDIDATES = 3  # pairs of frames a decision is tried on: one may be lost or refused
PROMPT_MESSAGE = "vima_msgs/msg/Prompt"
IMAGE, STRING = "sensor_msgs/msg/Image", "std_msgs/msg/String"


@dataclass(frozen=True)
class RecordedAsset:
    """A picture of the recorded prompt: serialised sensor_msgs/Image by view."""

    name: str
    kind: AssetKind
    views: dict[str, bytes]


@dataclass(frozen=True)
class RecordedPrompt:
    """Text and pictures; ``message``: a serialised vima_msgs/Prompt where that was recorded."""

    text: str = ""
    assets: tuple[RecordedAsset, ...] = ()
    end_effector: str = "suction"
    message: bytes | None = None


@dataclass(frozen=True)
class Frame:
    """One camera image: ``stamp`` of the recording [ns], serialised message."""

    stamp: int
    view: str
    data: bytes


@dataclass(frozen=True)
class Step:
    """What was seen before one decision, in order of time.

    ``frames`` of the whole step; in the first of them a robot may still move. From ``settled`` on
    [ns], a decision may be made.
    """

    settled: int
    frames: tuple[Frame, ...] = field(repr=False)


class Bag:
    """A recording, opened; a context manager.

    Raises VimaError (BAD_BAG) for what is no bag, is damaged, or has no frames of both views.
    """

    def __init__(self, path: Path, image_topics: dict[str, str] | None = None) -> None:
        self.path = Path(path)
        self._topics = image_topics or {view: f"/{view}/image_raw" for view in VIEWS}
        try:
            # Recordings of Humble and before do not carry the definitions of their messages.
            self._reader = AnyReader(
                [self.path], default_typestore=get_typestore(Stores.ROS2_HUMBLE)
            )
            self._reader.open()
        except Exception as error:  # rosbags raises its own, and whatever damaged data leads to
            raise self._bad(f"cannot be read: {type(error).__name__}: {error}") from error
        kinds = {connection.topic: connection.msgtype for connection in self._reader.connections}
        lacking = sorted(t for t in self._topics.values() if kinds.get(t) != IMAGE)
        if lacking:
            self._reader.close()
            raise self._bad(f"has no {IMAGE} on {lacking}; it has {sorted(kinds)}")

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def _bad(self, what: str) -> VimaError:
        return VimaError(
            "BAD_BAG", f"bag {self.path} {what}; valid: a rosbag2 folder, MCAP or SQLite"
        )

    def _messages(self, topics: Sequence[str]) -> Iterator[tuple[Any, int, bytes]]:
        chosen = [c for c in self._reader.connections if c.topic in topics]
        try:
            yield from self._reader.messages(connections=chosen) if chosen else ()
        except Exception as error:
            raise self._bad(f"is damaged: {type(error).__name__}: {error}") from error

    def prompt(self) -> RecordedPrompt | None:
        """The last prompt of the recording, or None.

        Either a vima_msgs/Prompt on any topic, or a std_msgs/String on /prompt with JSON {"text",
        "placeholders": [{"name", "placeholder_type"}]} and /prompt_assets/NAME/VIEW images.
        """
        own = [c.topic for c in self._reader.connections if c.msgtype == PROMPT_MESSAGE]
        found = None
        for _, _, data in self._messages(own):
            found = RecordedPrompt(message=bytes(data))
        if found is not None:
            return found
        raw = None
        for connection, _, data in self._messages(["/prompt"]):
            if connection.msgtype == STRING:
                raw = bytes(data)
        return None if raw is None else self._parse(raw)

    def _parse(self, raw: bytes) -> RecordedPrompt:
        try:
            message: Any = self._reader.deserialize(raw, STRING)
            content = json.loads(message.data)
            assets = tuple(
                RecordedAsset(
                    _text(p["name"]), AssetKind(p["placeholder_type"]), self._views(p["name"])
                )
                for p in content["placeholders"]
            )
            effector = _text(content.get("end_effector", "suction"))
            if effector.upper() not in EndEffector.__members__:
                raise ValueError(f"end_effector {effector!r}")
            return RecordedPrompt(_text(content["text"]), assets, effector)
        except Exception as error:  # whatever a damaged or hostile text leads to
            raise self._bad(
                f"has a /prompt that is not as documented: {type(error).__name__}: {error}"
            ) from error

    def _views(self, name: str) -> dict[str, bytes]:
        topics = {f"/prompt_assets/{name}/{view}": view for view in VIEWS}
        return {topics[c.topic]: bytes(data) for c, _, data in self._messages(list(topics))}

    def steps(self, seconds: float = 1.0) -> list[Step]:
        """The recording cut at the decisions made in it.

        A step holds the frames between the decision before and its own; the newest few of them are
        what its decision is made on. Where no decision was recorded, a step lasts ``seconds``.
        """
        view_of = {topic: view for view, topic in self._topics.items()}
        frames = [
            Frame(stamp, view_of[c.topic], bytes(data))
            for c, stamp, data in self._messages(list(view_of))
        ]
        if {frame.view for frame in frames} != set(VIEWS):
            raise self._bad("has no frames of both views")
        if not 0.0 < seconds < math.inf:
            raise VimaError("INVALID_VALUE", f"steps of {seconds} s; valid: more than 0, finite")
        ends = [stamp for _, stamp, _ in self._messages(ACTION_TOPICS)]
        if not ends:
            period, last = round(seconds * 1e9), frames[-1].stamp
            ends = list(range(frames[0].stamp + period - 1, last + period, period))
        return _cut(frames, ends)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _cut(frames: Sequence[Frame], ends: Sequence[int]) -> list[Step]:
    """One step up to each end that has frames of both views before it."""
    steps, begin = [], -1
    for end in ends:
        inside = tuple(f for f in frames if begin < f.stamp <= end)
        newest = [[f.stamp for f in inside if f.view == view][-CANDIDATES:] for view in VIEWS]
        if all(newest):
            steps.append(Step(min(stamps[0] for stamps in newest), inside))
            begin = end
    return steps
