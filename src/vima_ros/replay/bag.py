"""rosbag2 recordings (MCAP or SQLite) as prompt and steps; messages stay serialized (CDR)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rosbags.interfaces import MessageDefinitionFormat
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from vima_ros.errors import VimaError
from vima_ros.replay.frames import LATEST, End, Frame, Step, cut, set_times
from vima_ros.replay.storage import Storage, bad_bag
from vima_ros.specs import VIEWS, AssetKind, EndEffector

# Topics that mark when a decision was made while recording, beside those of type PolicyAction
ACTION_TOPICS = ("/oracle_action", "/vima/action", "/action")
ASSETS = "/prompt_assets/"  # NAME/VIEW: images of the prompt
PROMPT_MESSAGE, ACTION = "vima_msgs/msg/Prompt", "vima_msgs/msg/PolicyAction"
ARM_STATE = "vima_msgs/msg/ArmState"
IMAGE, STRING = "sensor_msgs/msg/Image", "std_msgs/msg/String"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
Layout = Mapping[str, Any]  # fields by name of message type, as rosbags has them


@dataclass(frozen=True)
class RecordedAsset:
    """An image of the recorded prompt: serialized sensor_msgs/Image by view.

    Or CompressedImage, for the views in ``compressed``.
    """

    name: str
    kind: AssetKind
    views: dict[str, bytes]
    compressed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class RecordedPrompt:
    """Text and images; ``message``: a serialized vima_msgs/Prompt where that was recorded.

    ``topic`` it was on; ``layout`` of that message as recorded, empty where the recording holds no
    definition of it. ``end_effector``: what was mounted.
    """

    text: str = ""
    assets: tuple[RecordedAsset, ...] = ()
    end_effector: str = "suction"
    message: bytes | None = None
    topic: str = "/prompt"
    layout: Layout = field(default_factory=dict, repr=False)


class Bag:
    """An open recording; a context manager.

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
        """True if both views are sensor_msgs/CompressedImage."""
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
        """Find the topic of a view, preferably one with messages; empty if there is none."""
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
                        f"has {view} images on {', '.join(found)}; --{view} chooses",
                    )
                if found:
                    return found[0]
        return ""

    def _topics_of(self, *kinds: str) -> list[str]:
        """List topics of these types with messages, in the cameras' namespace where it has any."""
        found = [t for t, kind in self._kind.items() if kind in kinds and self._count[t]]
        namespace = self._topics["front"].partition("/front/")[0]
        return [t for t in found if t.rpartition("/")[0] == namespace] or found

    # --- the prompt

    def prompt(self) -> RecordedPrompt | None:
        """Read the last prompt of the recording, or None.

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
        """Read the recorded robot's end effector, suction where none was recorded."""
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
                    _text(p["name"]), AssetKind(p["placeholder_type"]), *self._views(p["name"])
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

    def _views(self, name: str) -> tuple[dict[str, bytes], frozenset[str]]:
        """Return the images of a placeholder by view, and the compressed ones of them."""
        topics = {f"{ASSETS}{name}/{view}": (view, IMAGE) for view in VIEWS}
        topics |= {f"{t}/compressed": (view, COMPRESSED_IMAGE) for t, (view, _) in topics.items()}
        found: dict[str, dict[str, bytes]] = {IMAGE: {}, COMPRESSED_IMAGE: {}}
        for connection, _, data in self._storage.messages(list(topics)):
            view, kind = topics[connection.topic]
            if connection.msgtype != kind:
                raise ValueError(f"{connection.topic} is {connection.msgtype}; valid: {kind}")
            self._types.deserialize_cdr(data, kind)  # raises for damaged data
            found[kind][view] = data
        raw, packed = found[IMAGE], found[COMPRESSED_IMAGE]
        return packed | raw, frozenset(packed.keys() - raw.keys())

    def _read(self, connection: Any, data: bytes) -> Any:
        """Read one of our messages by its recorded definition; None if absent or misfitting."""
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
        """Cut the recording at its decisions.

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
            ends = [End(first + (number + 1) * period - 1) for number in numbers]
        return cut(frames, ends)

    def _frames(self) -> list[Frame]:
        """Yield the frames in the bag's order."""
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
        return set_times(frames)

    def _ends(self) -> list[End]:
        topics = {topic for topic in ACTION_TOPICS if self._kind.get(topic) != ACTION}
        topics.update(self._topics_of(ACTION))
        ends = []
        for connection, received, data in self._storage.messages(topics):
            action = self._read(connection, data) if connection.msgtype == ACTION else None
            names = ("observation_stamp", "front_stamp", "top_stamp")
            stamps = [getattr(action, name, None) for name in names]
            observed, *views = (s.sec * 1_000_000_000 + s.nanosec if s else 0 for s in stamps)
            ends.append(End(received, observed, max(observed, *views)))
        return ends


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _layout(connection: Any) -> Layout:
    """Return the layout of a recorded message and its parts; empty where it is not recorded."""
    if connection.msgdef.format != MessageDefinitionFormat.MSG:
        return {}
    try:
        return get_types_from_msg(connection.msgdef.data, connection.msgtype)
    except Exception:  # a damaged definition
        return {}
