"""rosbag2 recordings (MCAP or SQLite) as prompt and steps; messages stay serialised (CDR).

A message has two times: when the recorder received it (the bag's time), and the stamp of its
header. The bag's time orders messages; all else goes by the stamps, which may be of another clock
(a simulation's) or earlier (by the camera's latency). Where a stamp is zero, the bag's time stands
in, moved onto the clock of the other stamps where there are some.
"""

from __future__ import annotations

import bisect
import json
import math
import statistics
import struct
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from rosbags.interfaces import MessageDefinitionFormat
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from vima_ros.errors import VimaError
from vima_ros.replay.storage import Storage, bad_bag
from vima_ros.specs import VIEWS, AssetKind, EndEffector

# Topics that mark when a decision was made while recording, beside those of type PolicyAction
ACTION_TOPICS = ("/oracle_action", "/vima/action", "/action")
ASSETS = "/prompt_assets/"  # NAME/VIEW: pictures of the prompt
CANDIDATES = 3  # pairs of frames a decision is tried on: one may be lost or refused
LATEST = (2**31 - 1) * 1_000_000_000  # a stamp can be [ns]
CLOCK_RESET = 2_000_000_000  # [ns] a stamp further back means that the clock was set back
JITTER, OTHER_CLOCK = 50_000_000, 5_000_000_000  # [ns] what lies between is latency
PROMPT_MESSAGE, ACTION = "vima_msgs/msg/Prompt", "vima_msgs/msg/PolicyAction"
ARM_STATE = "vima_msgs/msg/ArmState"
IMAGE, STRING = "sensor_msgs/msg/Image", "std_msgs/msg/String"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
Layout = Mapping[str, Any]  # fields by name of message type, as rosbags has them


@dataclass(frozen=True)
class RecordedAsset:
    """A picture of the recorded prompt: serialised sensor_msgs/Image by view."""

    name: str
    kind: AssetKind
    views: dict[str, bytes]


@dataclass(frozen=True)
class RecordedPrompt:
    """Text and pictures; ``message``: a serialised vima_msgs/Prompt where that was recorded.

    ``topic`` it was on; ``layout`` of that message as recorded, empty where the recording holds no
    definition of it. ``end_effector``: what was mounted, empty where that is not known.
    """

    text: str = ""
    assets: tuple[RecordedAsset, ...] = ()
    end_effector: str = "suction"
    message: bytes | None = None
    topic: str = "/prompt"
    layout: Layout = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Frame:
    """One camera image.

    ``stamp`` of its header, ``received`` by the recorder [ns]; ``data``: the message as recorded,
    serialised, sensor_msgs/CompressedImage where ``compressed``, else Image. ``epoch``: how often
    the clock of the stamps was set back before.
    """

    stamp: int
    view: str
    data: bytes
    received: int = 0
    compressed: bool = False
    epoch: int = 0

    @property
    def message(self) -> bytes:
        """``data`` with ``stamp`` in its header, where that was zero."""
        order = "<" if self.data[1] & 1 else ">"  # CDR's encapsulation: which end comes first
        seconds, nanoseconds = divmod(self.stamp, 1_000_000_000)
        return self.data[:4] + struct.pack(f"{order}iI", seconds, nanoseconds) + self.data[12:]


@dataclass(frozen=True)
class Step:
    """What was seen before one decision, in order of the stamps.

    ``frames`` of the whole step; in the first of them a robot may still move. From ``settled`` on
    [ns, as the stamps], a decision may be made.
    """

    settled: int
    frames: tuple[Frame, ...] = field(repr=False)


class _End(NamedTuple):
    """Where a step ends: when the decision was recorded, and what it was made on (0: unknown)."""

    received: int
    observed: int = 0  # stamp of the older view [ns]
    newest: int = 0  # of the newer view


class Bag:
    """A recording, opened; a context manager.

    ``image_topics`` by view; where none is given: ``front/image_raw`` and ``top/image_raw`` in any
    namespace, else those with ``/compressed`` behind.

    Raises VimaError (BAD_BAG) for what is no bag, is damaged, or has no images of both views.
    """

    def __init__(self, path: Path, image_topics: Mapping[str, str] | None = None) -> None:
        self.path = Path(path)
        # Standard messages; recordings of Humble and before hold no definitions of them.
        self._types = get_typestore(Stores.ROS2_HUMBLE)
        self._own_types: dict[Any, Any] = {}  # by the recorded definition of a message
        self._storage = Storage(self.path)
        try:
            self._count: dict[str, int] = {}  # messages by topic
            self._kind: dict[str, str] = {}  # message type by topic
            for connection in self._storage.connections:
                self._kind[connection.topic] = connection.msgtype
                self._count.setdefault(connection.topic, 0)
                self._count[connection.topic] += connection.msgcount
            if not any(self._count.values()):
                raise bad_bag(self.path, "holds no messages, so no frames of both views")
            self._topics = self._find_images(image_topics or {})
        except BaseException:
            self._storage.close()
            raise

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *_: object) -> None:
        self._storage.close()

    @property
    def compressed(self) -> bool:
        """Whether both views are sensor_msgs/CompressedImage."""
        return all(self._kind[topic] == COMPRESSED_IMAGE for topic in self._topics.values())

    # --- which topics

    def _find_images(self, given: Mapping[str, str]) -> dict[str, str]:
        every = {t for t, kind in self._kind.items() if kind in (IMAGE, COMPRESSED_IMAGE)}
        every = {topic for topic in every if not topic.startswith(ASSETS)}
        topics = {view: self._find_view(view, given.get(view) or "", every) for view in VIEWS}
        lacking = [given.get(v) or f"/{v}/image_raw" for v in VIEWS if not topics[v]]
        if lacking:
            raise bad_bag(
                self.path,
                f"has no images on {', '.join(lacking)} (nor with /compressed behind); images it "
                f"has on {sorted(every)}: --front and --top name them",
            )
        return topics

    def _find_view(self, view: str, given: str, every: set[str]) -> str:
        """The topic of a view, empty if there is none; one with messages first."""
        name = given or f"/{view}/image_raw"
        names = (name, f"{name}/compressed")
        recorded = {topic for topic in every if self._count[topic]}
        for topics in (recorded, every):
            for each in names:
                if each in topics:
                    return each
            for each in names if not given else ():
                found = sorted(topic for topic in topics if topic.endswith(each))
                if len(found) > 1:
                    raise bad_bag(
                        self.path,
                        f"has {view} images on {', '.join(found)}; --{view} says which",
                    )
                if found:
                    return found[0]
        return ""

    def _topics_of(self, *kinds: str) -> list[str]:
        """Topics of these types that hold messages, of the cameras' namespace where it has any."""
        found = [t for t, kind in self._kind.items() if kind in kinds and self._count[t]]
        namespace = self._topics["front"].partition("/front/")[0]
        return [t for t in found if t.rpartition("/")[0] == namespace] or found

    # --- the prompt

    def prompt(self) -> RecordedPrompt | None:
        """The last prompt of the recording, or None.

        Either a vima_msgs/Prompt on any topic, or a std_msgs/String on /prompt with JSON {"text",
        "placeholders": [{"name", "placeholder_type"}]} and /prompt_assets/NAME/VIEW images.
        """
        found = None
        for connection, _, data in self._storage.messages(self._topics_of(PROMPT_MESSAGE)):
            found = connection, data
        if found is not None:
            connection, data = found
            return RecordedPrompt(
                message=data,
                topic=connection.topic,
                layout=_layout(connection),
                end_effector=self.end_effector(),
            )
        raw = None
        for connection, _, data in self._storage.messages(["/prompt"]):
            if connection.msgtype == STRING:
                raw = data
        return None if raw is None else self._parse(raw)

    def end_effector(self) -> str:
        """What a robot that was recorded reports as mounted, suction where none was."""
        for connection, _, data in self._storage.messages(self._topics_of(ARM_STATE)):
            state = self._read(connection, data)
            if state is not None and not getattr(state, "judged", False):
                number = getattr(state, "end_effector", None)
                if number in list(EndEffector):
                    return EndEffector(number).name.lower()
        return "suction"

    def _parse(self, raw: bytes) -> RecordedPrompt:
        try:
            message: Any = self._types.deserialize_cdr(raw, STRING)
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
            raise bad_bag(
                self.path,
                f"has a /prompt that is not as documented: {type(error).__name__}: {error}",
            ) from error

    def _views(self, name: str) -> dict[str, bytes]:
        topics = {f"{ASSETS}{name}/{view}": view for view in VIEWS}
        views = {}
        for connection, _, data in self._storage.messages(list(topics)):
            if connection.msgtype != IMAGE:
                raise ValueError(f"{connection.topic} is {connection.msgtype}; valid: {IMAGE}")
            self._types.deserialize_cdr(data, IMAGE)  # raises for damaged data
            views[topics[connection.topic]] = data
        return views

    def _read(self, connection: Any, data: bytes) -> Any:
        """A message of ours by the recorded definition; None without one, or if it misfits."""
        try:
            if connection.msgdef not in self._own_types:
                types = get_typestore(Stores.ROS2_HUMBLE)
                layout = _layout(connection)
                types.register({k: layout[k] for k in layout if k not in types.fielddefs})
                self._own_types[connection.msgdef] = types
            return self._own_types[connection.msgdef].deserialize_cdr(data, connection.msgtype)
        except Exception:  # an older layout, or none: then nothing is known from it
            return None

    # --- the steps

    def steps(self, seconds: float = 1.0) -> list[Step]:
        """The recording cut at the decisions made in it.

        A step holds the frames between the decision before and its own; the newest few of them are
        what its decision is made on. Its own are those up to the recorded observation_stamp, where
        there is one, else those before it in the bag's order. Where no decision was recorded, a
        step lasts ``seconds`` of the bag's time.
        """
        frames = self._frames()
        if {frame.view for frame in frames} != set(VIEWS):
            raise bad_bag(self.path, "has no frames of both views")
        if not 0.0 < seconds < math.inf:
            raise VimaError("INVALID_VALUE", f"steps of {seconds} s; valid: more than 0, finite")
        ends = self._ends()
        if not ends:
            first, period = frames[0].received, max(round(seconds * 1e9), 1)
            numbers = sorted({(frame.received - first) // period for frame in frames})
            ends = [_End(first + (number + 1) * period - 1) for number in numbers]
        return _cut(frames, ends)

    def _frames(self) -> list[Frame]:
        """In the bag's order."""
        view_of = {topic: view for view, topic in self._topics.items()}
        frames = []
        for connection, received, data in self._storage.messages(list(view_of)):
            kind = connection.msgtype
            try:
                if received > LATEST:
                    raise ValueError(f"valid: up to {LATEST} ns")
                message: Any = self._types.deserialize_cdr(data, kind)
            except Exception as error:  # rosbags raises what damaged data lead to
                raise bad_bag(
                    self.path,
                    f"is damaged: no {kind} on {connection.topic} at {received} ns: "
                    f"{type(error).__name__}: {error}",
                ) from error
            stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
            view = view_of[connection.topic]
            frames.append(Frame(stamp, view, data, received, kind == COMPRESSED_IMAGE))
        return _in_epochs(_stamped(frames))

    def _ends(self) -> list[_End]:
        topics = {topic for topic in ACTION_TOPICS if self._kind.get(topic) != ACTION}
        topics.update(self._topics_of(ACTION))
        ends = []
        for connection, received, data in self._storage.messages(topics):
            action = self._read(connection, data) if connection.msgtype == ACTION else None
            names = ("observation_stamp", "front_stamp", "top_stamp")
            stamps = [getattr(action, name, None) for name in names]
            observed, *views = (s.sec * 1_000_000_000 + s.nanosec if s else 0 for s in stamps)
            ends.append(_End(received, observed, max(observed, *views)))
        return ends


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _layout(connection: Any) -> Layout:
    """Of a recorded message and those in it; empty where the recording does not hold it."""
    if connection.msgdef.format != MessageDefinitionFormat.MSG:
        return {}
    try:
        return get_types_from_msg(connection.msgdef.data, connection.msgtype)
    except Exception:  # a damaged definition
        return {}


def _stamped(frames: Sequence[Frame]) -> list[Frame]:
    """The same; where a stamp is zero, as far before the bag's time as those around it."""
    known = {view: [f for f in frames if f.view == view and f.stamp > 0] for view in VIEWS}
    every = [frame for frame in frames if frame.stamp > 0]
    found = []
    for frame in frames:
        near = known[frame.view] or every  # a camera has a latency of its own
        if frame.stamp <= 0 and near:
            at = bisect.bisect(near, frame.received, key=lambda f: f.received)
            leads = [f.stamp - f.received for f in near[max(at - 2, 0) : at + 1]]
            lead = round(statistics.median(leads))
            frame = replace(frame, stamp=min(max(frame.received + lead, 1), LATEST))
        elif frame.stamp <= 0:
            frame = replace(frame, stamp=frame.received)
        found.append(frame)
    return found


def _in_epochs(frames: Sequence[Frame]) -> list[Frame]:
    """The same, numbered where the stamps of a view jump back."""
    newest: dict[str, int] = {}
    epochs = dict.fromkeys(VIEWS, 0)
    numbered = []
    for frame in frames:
        if frame.stamp < newest.get(frame.view, frame.stamp) - CLOCK_RESET:
            epochs[frame.view] += 1
            newest[frame.view] = frame.stamp
        newest[frame.view] = max(frame.stamp, newest.get(frame.view, frame.stamp))
        numbered.append(replace(frame, epoch=epochs[frame.view]))
    return numbered


def _ahead(frames: Sequence[Frame]) -> dict[str, int]:
    """By how much a view's frames come before those of the other that show the same moment [ns].

    No decision is made on them until then.
    """
    latency = {
        view: round(statistics.median(f.received - f.stamp for f in frames if f.view == view))
        for view in VIEWS
    }
    ahead = {view: max(latency.values()) - latency[view] for view in VIEWS}
    return {v: time if JITTER < time < OTHER_CLOCK else 0 for v, time in ahead.items()}


def _cut(frames: Sequence[Frame], ends: Sequence[_End]) -> list[Step]:
    """One step up to each end that has frames of both views before it."""
    steps: list[Step] = []
    ahead = _ahead(frames)
    stamps = {frame.stamp for frame in frames}
    coming = deque(sorted(frames, key=lambda frame: frame.received + ahead[frame.view]))
    waiting = list[Frame]()
    for end in ends:
        while coming and coming[0].received + ahead[coming[0].view] <= end.received:
            waiting.append(coming.popleft())
        inside, later = waiting, list[Frame]()
        if end.observed in stamps and end.observed:  # a step before may have it: sent again
            inside = [frame for frame in waiting if frame.stamp <= end.newest]
            later = [frame for frame in waiting if frame.stamp > end.newest]
        inside = sorted(inside, key=lambda frame: (frame.epoch, frame.stamp))
        newest = [[f.stamp for f in inside if f.view == view][-CANDIDATES:] for view in VIEWS]
        if all(newest):
            steps.append(Step(min(stamps[0] for stamps in newest), tuple(inside)))
            waiting = later
    return steps
