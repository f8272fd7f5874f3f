"""Makes small recordings as people have them: two cameras see two red blocks on a dark table.

Each step has some pairs of images and then an action. The bag's time of a message and the stamp of
its header are separate: see ``Recording``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

SECOND, MS = 1_000_000_000, 1_000_000  # [ns]
START = 1_600_000_000 * SECOND
IMAGE = "sensor_msgs/msg/Image"
PROMPT = {
    "text": "Put the {block} aside.",
    "placeholders": [{"name": "block", "placeholder_type": "object"}],
    "end_effector": "suction",
}
DEFINITIONS = {  # of vima_msgs; of what is read by the names of its fields, only those
    "vima_msgs/msg/Prompt": "std_msgs/Header header\nstring text\nvima_msgs/PromptAsset[] assets",
    "vima_msgs/msg/PromptAsset": "string name\nuint8 kind\nsensor_msgs/Image front\n"
    "sensor_msgs/Image top\nsensor_msgs/Image front_mask\nsensor_msgs/Image top_mask",
    "vima_msgs/msg/PolicyAction": "std_msgs/Header header\nstring prompt_id\nuint32 step\n"
    "builtin_interfaces/Time observation_stamp\nbuiltin_interfaces/Time front_stamp\n"
    "builtin_interfaces/Time top_stamp",
    "vima_msgs/msg/ArmState": "std_msgs/Header header\nuint8 end_effector\nbool judged",
}


@dataclass(frozen=True)
class Recording:
    """``rates`` of the cameras [Hz]; ``offsets`` of the top one's shutter to the front's [ns].

    The bag receives an image ``latency`` [ns] after its shutter, give or take ``jitter`` [ns]. Its
    header says when the shutter was, in the time of ``clock``: a function of the bag's [ns]; zero
    in the views ``unstamped``. ``swapped``: every fifth header's stamp is exchanged with the next.
    ``lost``: numbers of front frames that are missing. ``clock_topic``: /clock is recorded too.

    ``prompt``: content of /prompt (JSON); None: no prompt; "message": a vima_msgs/Prompt.
    ``actions``: "oracle", "policy" (a PolicyAction with the stamps of what it was decided on) or
    none. ``empty_steps`` show nothing. ``start``: of the recording, after START [s].
    ``cameras``: what the topics of the front and the top view begin with.
    """

    storage: StoragePlugin = StoragePlugin.MCAP
    steps: int = 3
    frames: int = 5
    rates: tuple[float, float] = (10.0, 10.0)
    offset: int = 0
    latency: tuple[int, int] = (0, 0)
    jitter: int = 0
    clock: Callable[[int], int] = lambda received: received
    unstamped: Collection[str] = ()
    swapped: bool = False
    lost: Collection[int] = ()
    clock_topic: bool = False
    compressed: Collection[str] = ()
    compressed_prompt: bool = False
    namespace: str = ""
    prompt: Mapping | str | None = field(default_factory=lambda: PROMPT)
    actions: str = "oracle"
    end_effector: int | None = None
    empty_steps: Collection[int] = ()
    compression: CompressionMode = CompressionMode.NONE
    start: float = 0.0
    cameras: tuple[str, str] = ("front", "top")


def since(start: int, rate: float = 1.0) -> Callable[[int], int]:
    """The clock of a simulation that stood at ``start`` [ns] when the recording began."""
    return lambda received: start + round((received - START) * rate)


def table(full: bool = True) -> np.ndarray:
    """RGB (128, 256, 3): two red blocks on a dark ground."""
    rgb = np.full((128, 256, 3), 50, np.uint8)
    for left in (60, 160) if full else ():
        rgb[50:75, left : left + 25] = (200, 40, 30)
    return rgb


def alone() -> np.ndarray:
    """RGB (128, 256, 3): one red block on white."""
    rgb = np.full((128, 256, 3), 255, np.uint8)
    rgb[50:75, 110:135] = (200, 40, 30)
    return rgb


class Messages:
    """Makes messages; ``definitions`` of vima_msgs by name of type."""

    def __init__(self, definitions: Mapping[str, str] = DEFINITIONS) -> None:
        self.store = get_typestore(Stores.ROS2_HUMBLE)
        types: dict = {}
        for name, text in definitions.items():
            types |= get_types_from_msg(text, name)
        self.store.register(types)

    def make(self, kind: str, *values):
        return self.store.types[kind](*values)

    def time(self, stamp: int):
        return self.make("builtin_interfaces/msg/Time", stamp // SECOND, stamp % SECOND)

    def header(self, stamp: int, frame_id: str = "camera"):
        return self.make("std_msgs/msg/Header", self.time(stamp), frame_id)

    def image(self, stamp: int, rgb: np.ndarray):
        height, width = rgb.shape[:2]
        data = np.ascontiguousarray(rgb).ravel()
        values = (height, width, "rgb8", 0, 3 * width, data)
        return self.make(IMAGE, self.header(stamp), *values)

    def compressed(self, stamp: int, rgb: np.ndarray):
        _, data = cv2.imencode(".jpg", rgb[..., ::-1])
        kind = "sensor_msgs/msg/CompressedImage"
        return self.make(kind, self.header(stamp), "rgb8; jpeg compressed bgr8", data.ravel())

    def text(self, content: Mapping):
        return self.make("std_msgs/msg/String", json.dumps(content))

    def prompt(self, text: str):
        """With the block's picture from the front."""
        none = self.make(IMAGE, self.header(0), 0, 0, "", 0, 0, np.zeros(0, np.uint8))
        views = (self.image(0, alone()), none, none, none)
        asset = self.make("vima_msgs/msg/PromptAsset", "block", 0, *views)
        return self.make("vima_msgs/msg/Prompt", self.header(0), text, [asset])

    def oracle_action(self):
        layout = self.make("std_msgs/msg/MultiArrayLayout", [], 0)
        return self.make("std_msgs/msg/Float64MultiArray", layout, np.zeros(12))

    def policy_action(self, step: int, front: int, top: int):
        """Decided on frames of these stamps."""
        times = [self.time(stamp) for stamp in (min(front, top), front, top)]
        return self.make("vima_msgs/msg/PolicyAction", self.header(0), "prompt", step, *times)


class BagWriter:
    """Writes messages to a bag; a context manager."""

    def __init__(self, path: Path, recording: Recording, messages: Messages) -> None:
        self._writer = Writer(path, version=9, storage_plugin=recording.storage)
        if recording.compression != CompressionMode.NONE:
            self._writer.set_compression(recording.compression, CompressionFormat.ZSTD)
        self._connections: dict = {}
        self._messages = messages

    def __enter__(self):
        self._writer.open()
        return self

    def __exit__(self, *_):
        self._writer.close()

    def write(self, received: int, topic: str, message) -> None:
        kind, store = message.__msgtype__, self._messages.store
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(topic, kind, typestore=store)
        self._writer.write(self._connections[topic], received, store.serialize_cdr(message, kind))


def write_recording(path: Path, *recordings: Recording, messages: Messages | None = None) -> Path:
    """A bag in the new folder ``path``, all ``recordings`` in one."""
    messages = messages or Messages()
    events = [event for recording in recordings for event in _events(recording, messages)]
    with BagWriter(path, recordings[0], messages) as bag:
        for received, _, topic, message in sorted(events, key=lambda event: event[:2]):
            bag.write(received, topic, message)
    return path


def _events(recording: Recording, messages: Messages) -> list[tuple]:
    """When received, the order of what is received at once, topic and message."""
    events = _prompt_events(recording, messages)
    images = _images(recording)
    names = dict(zip(("front", "top"), recording.cameras, strict=True))
    for number, (received, view, stamp, step) in enumerate(images):
        rgb = table(step not in recording.empty_steps)
        packed = view in recording.compressed
        message = (messages.compressed if packed else messages.image)(stamp, rgb)
        topic = f"{recording.namespace}/{names[view]}/image_raw" + (
            "/compressed" if packed else ""
        )
        events.append((received, number, topic, message))
        if recording.clock_topic:
            time = messages.time(recording.clock(received))
            clock = messages.make("rosgraph_msgs/msg/Clock", time)
            events.append((received, number, "/clock", clock))
    if recording.actions:
        events += _action_events(recording, messages, images)
    return events


def _prompt_events(recording: Recording, messages: Messages) -> list[tuple]:
    events = []
    if recording.prompt == "message":
        message = messages.prompt(PROMPT["text"])
        events.append((START, -1, f"{recording.namespace}/prompt", message))
    elif recording.prompt is not None:
        events.append((START, -3, "/prompt", messages.text(recording.prompt)))
        for view in ("front", "top"):
            packed = recording.compressed_prompt
            make = messages.compressed if packed else messages.image
            topic = f"/prompt_assets/block/{view}" + ("/compressed" if packed else "")
            events.append((START, -2, topic, make(recording.clock(START), alone())))
    if recording.end_effector is not None:
        kind = "vima_msgs/msg/ArmState"
        state = messages.make(kind, messages.header(0), recording.end_effector, False)
        events.append((START, -1, f"{recording.namespace}/arm_state", state))
    return events


def _duration(recording: Recording) -> int:
    """Of one step [ns]."""
    return round(recording.frames * SECOND / min(recording.rates))


def _images(recording: Recording) -> list[tuple[int, str, int, int]]:
    """When received, the view, the header's stamp and the step, in the bag's order."""
    random = np.random.default_rng(0)
    found = []
    for view, rate, latency, offset in zip(
        ("front", "top"), recording.rates, recording.latency, (0, recording.offset), strict=True
    ):
        period = SECOND / rate
        count = round(recording.steps * _duration(recording) / period)
        begin = START + round(recording.start * SECOND) + offset
        shutters = [begin + round((n + 1) * period) for n in range(count)]
        stamps = [recording.clock(shutter) for shutter in shutters]
        for n in range(0, count - 1, 5) if recording.swapped else ():
            stamps[n], stamps[n + 1] = stamps[n + 1], stamps[n]
        for n, (shutter, stamp) in enumerate(zip(shutters, stamps, strict=True)):
            if view == "front" and n in recording.lost:
                continue
            late = latency + int(random.integers(0, recording.jitter + 1))
            step = min((shutter - begin - 1) // _duration(recording), recording.steps - 1)
            stamp = 0 if view in recording.unstamped else stamp
            found.append((shutter + late, view, stamp, step))
    return sorted(found, key=lambda image: image[0])


def _action_events(recording: Recording, messages: Messages, images: list) -> list[tuple]:
    """Each a moment after the last image of its step has come from both cameras."""
    events = []
    for step in range(recording.steps):
        of_step = [image for image in images if image[3] == step]
        received = max(image[0] for image in of_step) + MS
        if recording.actions == "policy":
            front, top = (
                max(stamp for _, v, stamp, _ in of_step if v == view) for view in ("front", "top")
            )
            topic = f"{recording.namespace}/action"
            # Decided, and recorded, while the cameras went on
            action = messages.policy_action(step, front, top)
            events.append((received + 150 * MS, len(images), topic, action))
        else:
            events.append((received, len(images), "/oracle_action", messages.oracle_action()))
    return events


def rewrite(source: Path, target: Path, stamp: Callable[[int], int]) -> Path:
    """Copy a bag with other stamps in the headers: a function of the bag's time, all in ns."""
    with AnyReader([source]) as reader, Writer(target, version=9) as writer:
        connections = {}
        for connection, received, data in reader.messages():
            kind = connection.msgtype
            if connection.topic not in connections:
                connections[connection.topic] = writer.add_connection(
                    connection.topic, kind, typestore=reader.typestore
                )
            fields = reader.typestore.fielddefs[kind][1]
            if fields[0][0] == "header":  # the first twelve bytes: encapsulation and stamp
                seconds, nanoseconds = divmod(stamp(received), SECOND)
                data = data[:4] + struct.pack("<iI", seconds, nanoseconds) + data[12:]
            writer.write(connections[connection.topic], received, data)
    return target
