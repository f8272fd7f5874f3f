"""Recordings as people have them, and what must come of their replay.

    ./vima exec python test/cases/replay_cases.py [CASE ...]

The nodes are started once, for the first case that replays. Prints a table; exit code 1 when a
case ends otherwise than expected.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2
import table
from recordings import (
    DEFINITIONS,
    MS,
    SECOND,
    Messages,
    Recording,
    alone,
    since,
    write_recording,
)
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from vima_ros.cli import replay
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.program import exit_code

NODES = ["perception", "prompt", "policy", "arm", "manager"]


@dataclass(frozen=True)
class Case:
    """``code``: the exit code; 0 with a decision in each of the recording's steps.

    ``words`` of the message on stderr where it is 2. ``damage``: what is done to the folder; it
    returns the path to replay. ``options`` of the program; ``{folder}`` is the case's own.
    """

    recording: Recording = field(default_factory=Recording)
    code: int = 0
    words: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    damage: Callable[[Path], Path] = lambda path: path
    definitions: dict = field(default_factory=lambda: DEFINITIONS)


def late(milliseconds: int, top: int | None = None, **changes) -> Recording:
    """Received that long after the shutter, at 30 Hz."""
    latency = (milliseconds * MS, (milliseconds if top is None else top) * MS)
    return Recording(**{"latency": latency, "rates": (30.0, 30.0), "frames": 15} | changes)


def refused(*words: str, damage: Callable[[Path], Path] = lambda path: path, **changes) -> Case:
    return Case(Recording(**changes), 2, words, damage=damage)


def _data_file(path: Path) -> Path:
    return next(file for file in path.iterdir() if file.name != "metadata.yaml")


def cut(path: Path) -> Path:
    file = _data_file(path)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return path


def without_metadata(path: Path) -> Path:
    (path / "metadata.yaml").unlink()
    return path


def without_storage_identifier(path: Path) -> Path:
    file = path / "metadata.yaml"
    lines = file.read_text().splitlines()
    lines = [f"{x.partition(':')[0]}: ''" if "storage_identifier" in x else x for x in lines]
    file.write_text("\n".join(lines))
    return path


def emptied(path: Path) -> Path:
    _data_file(path).write_bytes(b"")
    return path


def one_of_two(path: Path) -> Path:
    """The folder that holds two recordings."""
    write_recording(path.parent / "other", Recording())
    return path.parent


RATES = {"rates": (30.0, 15.0), "frames": 8}
SIMULATION = since(12 * SECOND)
OLD = DEFINITIONS | {"vima_msgs/msg/Prompt": "string text\nstring[] names"}
GIVEN = ("--prompt", "Put the {thing} aside.", "--image", "thing={folder}/block.png")
BOTH = ("front", "top")
CASES = {
    "replay_as_received": Case(),
    **{f"replay_{ms}ms_late": Case(late(ms)) for ms in (20, 120, 150, 400, 900)},
    "replay_one_camera_later": Case(late(20, 400)),
    "replay_two_rates": Case(Recording(offset=8 * MS, latency=(20 * MS, 90 * MS), **RATES)),
    "replay_jitter": Case(late(30, jitter=40 * MS)),
    "replay_lost_frames": Case(late(150, lost=(4, 9, 13, 14))),
    "replay_out_of_order": Case(late(50, swapped=True)),
    "replay_simulated_time": Case(Recording(clock=SIMULATION)),
    "replay_simulated_time_and_clock": Case(Recording(clock=SIMULATION, clock_topic=True)),
    "replay_slow_simulation": Case(Recording(clock=since(0, 0.3), latency=(MS, MS))),
    "replay_no_stamps_from_above": Case(late(120, unstamped=("top",))),
    "replay_no_stamps": Case(Recording(unstamped=BOTH, jitter=5 * MS)),
    "replay_at_a_rate": Case(late(150), options=("--rate", "2")),
    "replay_simulated_time_at_a_rate": Case(Recording(clock=SIMULATION), options=("--rate", "2")),
    "replay_without_actions": Case(Recording(steps=1, frames=10, actions="")),
    "replay_own_recording": Case(
        Recording(namespace="/vima", prompt="message", actions="policy", latency=(MS, 90 * MS))
    ),
    "replay_compressed_images": Case(Recording(compressed=BOTH)),
    "replay_one_camera_compressed": Case(Recording(compressed=("top",))),
    "replay_compressed_file": Case(Recording(compression=CompressionMode.FILE)),
    "replay_compressed_messages": Case(
        Recording(compression=CompressionMode.MESSAGE, storage=StoragePlugin.SQLITE3)
    ),
    "bag_without_metadata": Case(damage=without_metadata),
    "bag_without_storage_identifier": Case(damage=without_storage_identifier),
    "bag_file_alone": Case(damage=_data_file),
    "bag_without_prompt": refused("holds no prompt", "--prompt", prompt=None),
    "bag_without_prompt_given_one": Case(Recording(prompt=None), options=GIVEN),
    "old_prompt_in_bag": Case(
        Recording(prompt="message", namespace="/vima"),
        2,
        ("BAD_BAG", "/vima/prompt", "another version's layout"),
        definitions=OLD,
    ),
    "old_prompt_given_one": Case(Recording(prompt="message"), options=GIVEN, definitions=OLD),
    "bag_cut_mcap": refused("BAD_BAG", "mcap recover", damage=cut),
    "bag_cut_db3": refused("BAD_BAG", ".recover", damage=cut, storage=StoragePlugin.SQLITE3),
    "bag_of_an_empty_file": refused("BAD_BAG", "nothing was recorded", damage=emptied),
    "bag_several": refused("BAD_BAG", "several recordings", "bag, other", damage=one_of_two),
    "bag_other_topics": refused(
        "BAD_BAG", "/left/image_raw", "--front", "--top", cameras=("left", "right")
    ),
}


@functools.cache
def nodes() -> NodeProcesses:
    """Started once; ended with the program."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    started = NodeProcesses(Path(folder), params_file="recording", use_sim_time=True)
    processes = stack.enter_context(started)
    processes.start(NODES)
    with Client("cases") as client:
        client.wait_for_active(NODES, 120, processes.check_alive)
    return processes


def expected(case: Case) -> str:
    said = ", ".join(case.words)
    return f"exit {case.code}" + (f": {said}" if said else ", every step decided")


def run(name: str, folder: Path) -> tuple[str, list[str]]:
    """What was seen of a case, and what of it is wrong."""
    case = CASES[name]
    bags = folder / "bags"
    messages = OldMessages(case.definitions) if case.definitions is OLD else Messages()
    path = case.damage(write_recording(bags / "bag", case.recording, messages=messages))
    cv2.imwrite(str(folder / "block.png"), alone()[..., ::-1])
    if case.code == 0:
        nodes().check_alive()
    words = [word.replace("{folder}", str(folder)) for word in case.options]
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        words = [str(path), "--out", str(folder), "--timeout", "15", *words]
        code = exit_code("replay", replay.main, words)
    wrong = [] if code == case.code else [f"exit code is not {case.code}"]
    report = folder / "replay.json"
    if case.code:
        message = said.getvalue()
        wrong += [f"no {word!r} in the message" for word in case.words if word not in message]
        return f"exit {code}: {message}", wrong
    steps = json.loads(report.read_text())["steps"] if report.exists() else []
    if [step["code"] for step in steps] != ["OK"] * case.recording.steps:
        wrong.append(f"not {case.recording.steps} decisions")
    seen = ", ".join(f"{step['code']} {step['message']}".strip() for step in steps)
    return f"exit {code}: {seen}{said.getvalue() if code else ''}", wrong


class OldMessages(Messages):
    """Prompts as of an older version."""

    def prompt(self, text):
        return self.make("vima_msgs/msg/Prompt", text, ["block"])


if __name__ == "__main__":
    table.main(sys.modules[__name__])
