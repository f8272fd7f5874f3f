import contextlib
import json
import sqlite3

import numpy as np
import pytest
from helpers import BAGS
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from vima_ros.errors import VimaError
from vima_ros.replay.bag import Bag
from vima_ros.specs import AssetKind

STORE = get_typestore(Stores.ROS2_HUMBLE)
STORE.register(get_types_from_msg("string text", "vima_msgs/msg/Prompt"))
IMAGE, STRING, ACTION = "sensor_msgs/msg/Image", "std_msgs/msg/String", "std_msgs/msg/Empty"
FRONT, TOP = "/front/image_raw", "/top/image_raw"
SECOND = 1_000_000_000
STORAGES = list(StoragePlugin)
PROMPT = {
    "text": "Put the {a} into the {b}.",
    "placeholders": [
        {"name": "a", "placeholder_type": "object", "obj_info": []},
        {"name": "b", "placeholder_type": "scene"},
    ],
    "end_effector": "spatula",
}


def serialised(msgtype, **content):
    return bytes(STORE.serialize_cdr(STORE.types[msgtype](**content), msgtype))


def picture(number):
    """A small image whose only pixel tells which one it is."""
    header = STORE.types["std_msgs/msg/Header"](
        stamp=STORE.types["builtin_interfaces/msg/Time"](sec=0, nanosec=0), frame_id=""
    )
    pixel = np.array([number % 256], np.uint8)
    layout = {"height": 1, "width": 1, "encoding": "mono8", "is_bigendian": 0, "step": 1}
    return serialised(IMAGE, header=header, data=pixel, **layout)


def text(content):
    return serialised(STRING, data=content)


def write(path, events, storage=StoragePlugin.MCAP):
    """A bag of ``events``: (stamp [ns], topic, message type, serialised message)."""
    with Writer(path, version=9, storage_plugin=storage) as writer:
        connections = {}
        for stamp, topic, msgtype, data in events:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, msgtype, typestore=STORE)
            writer.write(connections[topic], stamp, data)
    return path


def frames(stamps, topics=(FRONT, TOP)):
    return [(stamp, topic, IMAGE, picture(stamp)) for stamp in stamps for topic in topics]


def actions(stamps, topic="/oracle_action"):
    data = serialised(ACTION, structure_needs_at_least_one_member=0)
    return [(stamp, topic, ACTION, data) for stamp in stamps]


def with_prompt(content):
    """A bag's events with ``content`` (text or serialised) on /prompt."""
    data = content if isinstance(content, bytes) else text(content)
    return [(1, "/prompt", STRING, data), *frames([2, 3])]


def shown(step):
    return [(frame.stamp, frame.view) for frame in step.frames]


def refusal(path, use=lambda bag: (bag.prompt(), bag.steps())):
    with pytest.raises(VimaError) as caught, Bag(path) as bag:
        use(bag)
    assert caught.value.code == "BAD_BAG"
    assert str(path) in str(caught.value)
    return str(caught.value)


# --- steps


@pytest.mark.parametrize("storage", STORAGES, ids=lambda storage: storage.name)
def test_a_bag_is_cut_at_its_decisions(tmp_path, storage):
    events = sorted([*frames([10, 20, 30, 40, 50, 60, 70, 80]), *actions([45, 65])])
    with Bag(write(tmp_path / "bag", events, storage)) as bag:
        first, second = bag.steps()
    assert shown(first) == [(s, v) for s in (10, 20, 30, 40) for v in ("front", "top")]
    assert shown(second) == [(s, v) for s in (50, 60) for v in ("front", "top")]
    assert (first.settled, second.settled) == (20, 50)  # the newest three pairs, or all
    assert first.frames[0].data == picture(10)


def test_a_decision_counts_the_frames_up_to_its_own_stamp(tmp_path):
    with Bag(write(tmp_path / "bag", [*frames([10]), *actions([10]), *frames([11])])) as bag:
        assert [shown(step) for step in bag.steps()] == [[(10, "front"), (10, "top")]]


@pytest.mark.parametrize("topic", ["/oracle_action", "/vima/action", "/action"])
def test_decisions_are_known_by_their_topics(tmp_path, topic):
    events = sorted([*frames([10, 20, 30]), *actions([15, 25], topic)])
    with Bag(write(tmp_path / "bag", events)) as bag:
        assert len(bag.steps()) == 2


def test_a_decision_without_frames_of_both_views_before_it_is_no_step(tmp_path):
    events = [*frames([10]), *frames([30], [FRONT]), *frames([50], [TOP])]
    with Bag(write(tmp_path / "bag", sorted([*events, *actions([5, 15, 35, 55])]))) as bag:
        first, second = bag.steps()
    assert shown(first) == [(10, "front"), (10, "top")]
    assert shown(second) == [(30, "front"), (50, "top")]


def test_without_decisions_a_step_lasts_so_many_seconds(tmp_path):
    stamps = [5 * SECOND + n * SECOND // 4 for n in range(10)]  # 2.25 s
    path = write(tmp_path / "bag", frames(stamps))
    for seconds, counts in ((1.0, [4, 4, 2]), (0.5, [2, 2, 2, 2, 2]), (10, [10])):
        with Bag(path) as bag:
            assert [len(step.frames) // 2 for step in bag.steps(seconds)] == counts


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_step_without_a_length_is_refused(tmp_path, seconds):
    with Bag(write(tmp_path / "bag", frames([10, 20]))) as bag, pytest.raises(VimaError):
        bag.steps(seconds)


@pytest.mark.slow
@settings(max_examples=30, phases=[Phase.generate])
@given(st.dictionaries(st.integers(1, 99), st.sampled_from("ftfta"), min_size=1, max_size=30))
def test_steps_hold_all_frames_once_in_order_and_end_at_decisions(tmp_path_factory, kinds):
    kinds = {0: "f", 100: "t", 101: "a", **kinds}
    make = {
        "f": lambda stamp: frames([stamp], [FRONT]),
        "t": lambda stamp: frames([stamp], [TOP]),
        "a": lambda stamp: actions([stamp]),
    }
    events = [event for stamp, kind in sorted(kinds.items()) for event in make[kind](stamp)]
    with Bag(write(tmp_path_factory.mktemp("bag") / "bag", events)) as bag:
        steps = bag.steps()
    recorded = [(s, {FRONT: "front", TOP: "top"}[t]) for s, t, *_ in events if "image" in t]
    held = [frame for step in steps for frame in shown(step)]
    assert held == recorded[: len(held)]  # what follows the last step led to no decision
    ends = [stamp for stamp, kind in sorted(kinds.items()) if kind == "a"]
    waiting, want = set(), 0  # views seen since the decision before
    for _, kind in sorted(kinds.items()):
        if kind != "a":
            waiting.add(kind)
        elif waiting == {"f", "t"}:
            waiting, want = set(), want + 1
    assert len(steps) == want
    for step in steps:
        last = step.frames[-1].stamp
        following = min(end for end in ends if end >= last)
        assert not any(last < stamp < following for stamp, _ in recorded)
        newest = [
            [f.stamp for f in step.frames if f.view == view][-3:] for view in ("front", "top")
        ]
        assert step.settled == min(newest[0] + newest[1])


def test_cameras_may_have_other_names(tmp_path):
    path = write(tmp_path / "bag", frames([10, 20], ["/left", "/above"]))
    with Bag(path, {"front": "/left", "top": "/above"}) as bag:
        (step,) = bag.steps()
    assert shown(step) == [(10, "front"), (10, "top"), (20, "front"), (20, "top")]
    assert "/front/image_raw" in refusal(path)
    assert "/left" in refusal(path)


# --- prompt


@pytest.mark.parametrize("storage", STORAGES, ids=lambda storage: storage.name)
def test_text_and_pictures_come_from_the_recording(tmp_path, storage):
    pictures = [("a", "front", 5), ("b", "top", 6), ("a", "top", 7)]
    events = [
        (1, "/prompt", STRING, text(json.dumps(PROMPT))),
        *((n, f"/prompt_assets/{a}/{v}", IMAGE, picture(n)) for a, v, n in pictures),
        *frames([8]),
    ]
    with Bag(write(tmp_path / "bag", events, storage)) as bag:
        prompt = bag.prompt()
    assert (prompt.text, prompt.end_effector) == (PROMPT["text"], "spatula")
    a, b = prompt.assets
    assert (a.name, a.kind, a.views) == (
        "a",
        AssetKind.OBJECT,
        {"front": picture(5), "top": picture(7)},
    )
    assert (b.name, b.kind, b.views) == ("b", AssetKind.SCENE, {"top": picture(6)})
    assert prompt.message is None


def test_without_a_prompt_there_is_none(tmp_path):
    with Bag(write(tmp_path / "bag", frames([1]))) as bag:
        assert bag.prompt() is None


def test_the_last_text_is_the_prompt(tmp_path):
    prompts = [text(json.dumps({"text": t, "placeholders": []})) for t in ("one", "two")]
    events = [(n, "/prompt", STRING, data) for n, data in enumerate(prompts, 1)]
    with Bag(write(tmp_path / "bag", [*events, *frames([5])])) as bag:
        prompt = bag.prompt()
    assert (prompt.text, prompt.end_effector) == ("two", "suction")


def test_the_last_own_message_is_the_prompt_and_beats_a_text(tmp_path):
    own = [serialised("vima_msgs/msg/Prompt", text=t) for t in ("one", "two")]
    events = [
        *((n, "/vima/prompt", "vima_msgs/msg/Prompt", data) for n, data in enumerate(own, 1)),
        (3, "/prompt", STRING, text(json.dumps(PROMPT))),
        *frames([5]),
    ]
    with Bag(write(tmp_path / "bag", events)) as bag:
        assert bag.prompt().message == own[1]


def changed(**fields):
    return json.dumps({**PROMPT, **fields})


MALFORMED = {
    "words": ("Put it there.", "JSONDecodeError"),
    "a list": ("[1]", "TypeError"),
    "endlessly nested": ("[" * 100_000, "/prompt"),
    "no text": ('{"placeholders": []}', "text"),
    "no placeholders": ('{"text": "x"}', "placeholders"),
    "placeholders a number": (changed(placeholders=7), "TypeError"),
    "no name": (changed(placeholders=[{"placeholder_type": "object"}]), "name"),
    "no kind": (changed(placeholders=[{"name": "a"}]), "placeholder_type"),
    "another kind": (changed(placeholders=[{"name": "a", "placeholder_type": "ghost"}]), "ghost"),
    "name a number": (changed(placeholders=[{"name": 7, "placeholder_type": "object"}]), "7"),
    "text a number": (changed(text=7), "7"),
    "another tool": (changed(end_effector="tweezers"), "tweezers"),
    "no tool": (changed(end_effector=None), "None"),
    "cut off": (text("Put")[:6], "/prompt"),
    "not UTF-8": (text("Put").replace(b"P", b"\xff"), "/prompt"),
}


@pytest.mark.parametrize(("content", "named"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_prompt_is_refused_naming_the_reason(tmp_path, content, named):
    assert named in refusal(write(tmp_path / "bag", with_prompt(content)), Bag.prompt)


# --- what is no bag, or no longer


@pytest.mark.parametrize(
    ("topics", "lacking"),
    [([FRONT], "/top/image_raw"), ([TOP], "/front/image_raw"), (["/x"], "/front/image_raw")],
)
def test_a_missing_camera_is_named_with_what_there_is(tmp_path, topics, lacking):
    message = refusal(write(tmp_path / "bag", frames([1], topics)))
    assert lacking in message
    assert str(topics) in message


def test_a_camera_that_never_took_a_picture_is_missing(tmp_path):
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for topic in (FRONT, TOP):
            writer.add_connection(topic, IMAGE, typestore=STORE)
    assert "both views" in refusal(tmp_path / "bag", Bag.steps)


def test_what_is_no_bag_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "metadata.yaml").write_text("rosbag2_bagfile_information: yes\n")
    (tmp_path / "file.mcap").write_text("Put it there.")
    (tmp_path / "ros1.bag").write_bytes(b"#ROSBAG V2.0\n")
    for name in ("nowhere", "empty", "words", "file.mcap", "ros1.bag"):
        assert "cannot be read" in refusal(tmp_path / name)


@pytest.mark.parametrize("storage", STORAGES, ids=lambda storage: storage.name)
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_bag_is_refused(tmp_path, storage, part):
    path = write(
        tmp_path / "bag", [*with_prompt(json.dumps(PROMPT)), *frames(range(5, 80))], storage
    )
    (file,) = (f for f in path.iterdir() if f.suffix in (".mcap", ".db3"))
    file.write_bytes(file.read_bytes()[: int(part * file.stat().st_size)])
    refusal(path)


@pytest.mark.slow
@settings(max_examples=60, phases=[Phase.generate])  # shrinking writes many bags
@given(st.data(), st.sampled_from(STORAGES))
def test_damage_anywhere_leads_to_nothing_worse_than_a_refusal(tmp_path_factory, data, storage):
    folder = tmp_path_factory.mktemp("damaged") / "bag"
    path = write(folder, [*with_prompt(json.dumps(PROMPT)), *actions([9])], storage)
    (file,) = (f for f in path.iterdir() if f.suffix in (".mcap", ".db3"))
    content = bytearray(file.read_bytes())
    places = st.integers(0, len(content) - 1)
    damage = data.draw(st.dictionaries(places, st.integers(0, 255), min_size=1, max_size=8))
    for place, value in damage.items():
        content[place] = value
    file.write_bytes(content)
    with contextlib.suppress(VimaError), Bag(path) as bag:
        bag.prompt()
        bag.steps()


def test_a_humble_recording_without_message_definitions_is_read(tmp_path):
    """SQLite bags before ROS 2 Iron hold no definitions; the standard ones are known."""
    path = write(tmp_path / "bag", with_prompt(json.dumps(PROMPT)), StoragePlugin.SQLITE3)
    (file,) = path.glob("*.db3")
    database = sqlite3.connect(file)
    database.execute("DELETE FROM message_definitions")
    database.commit()
    database.close()
    with Bag(path) as bag:
        assert bag.prompt().text == PROMPT["text"]
        assert len(bag.steps()) == 1


# --- the recorded episodes


@pytest.mark.slow
@pytest.mark.parametrize("path", BAGS)
def test_a_recorded_episode_has_as_many_steps_as_it_says(path):
    with AnyReader([path]) as reader:
        (said,) = (
            json.loads(reader.deserialize(data, connection.msgtype).data)
            for connection, _, data in reader.messages()
            if connection.topic == "/prompt"
        )
    with Bag(path) as bag:
        prompt, steps = bag.prompt(), bag.steps()
    assert len(steps) == said["n_steps"]
    assert (prompt.text, prompt.end_effector) == (said["text"], said["end_effector"])
    assert [a.name for a in prompt.assets] == [p["name"] for p in said["placeholders"]]
    assert all(set(asset.views) == {"front", "top"} for asset in prompt.assets)
