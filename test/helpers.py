"""What several tests share."""

import json
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_typestore

ROOT = Path(__file__).parents[1]


def shared(relative: str) -> Path:
    """A file or folder of the recorded data beside the repository; skips the test without it."""
    path = ROOT.parent / "shared" / relative
    if not path.exists():
        pytest.skip(f"recorded data not beside the repository: shared/{relative}")
    return path


def write_bag(path: Path, storage, steps: int, empty_steps=(), **prompt) -> Path:
    """A small recording as documented in replay/bag.py: two red blocks on a dark table.

    Each step has five pairs of frames 0.1 s apart, then the action; ``empty_steps`` show nothing.
    ``prompt`` overrides fields of the /prompt JSON.
    """
    store = get_typestore(Stores.ROS2_HUMBLE)
    types = store.types
    stamp_type = types["builtin_interfaces/msg/Time"]
    header_type, image_type = types["std_msgs/msg/Header"], types["sensor_msgs/msg/Image"]
    string_type, array_type = types["std_msgs/msg/String"], types["std_msgs/msg/Float64MultiArray"]
    layout = types["std_msgs/msg/MultiArrayLayout"]([], 0)
    content = {
        "text": "Put the {block} aside.",
        "placeholders": [{"name": "block", "placeholder_type": "object"}],
        "end_effector": "suction",
    } | prompt
    table, alone = np.full((128, 256, 3), 50, np.uint8), np.full((128, 256, 3), 255, np.uint8)
    full = table.copy()
    for picture, left in ((full, 60), (full, 160), (alone, 110)):
        picture[50:75, left : left + 25] = (200, 40, 30)

    with Writer(path, version=9, storage_plugin=storage) as bag:
        connections = {}

        def write(topic, kind, stamp, message):
            if topic not in connections:
                connections[topic] = bag.add_connection(topic, kind.__msgtype__, typestore=store)
            data = store.serialize_cdr(message, kind.__msgtype__)
            bag.write(connections[topic], stamp, data)

        def write_image(topic, stamp, rgb):
            header = header_type(stamp_type(stamp // 10**9, stamp % 10**9), "camera")
            write(
                topic, image_type, stamp, image_type(header, 128, 256, "rgb8", 0, 768, rgb.ravel())
            )

        now = 1_600_000_000_000_000_000
        write("/prompt", string_type, now, string_type(json.dumps(content)))
        for view in ("front", "top"):
            write_image(f"/prompt_assets/block/{view}", now, alone)
        for step in range(steps):
            for _ in range(5):
                now += 100_000_000
                for view in ("front", "top"):
                    write_image(f"/{view}/image_raw", now, table if step in empty_steps else full)
            action = array_type(layout, np.zeros(12))
            write("/oracle_action", array_type, now + 1_000_000, action)
    return path
