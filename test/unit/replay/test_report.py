import json
import math

import pytest

from vima_ros.replay.report import HEADINGS, StepRecord, write_report

FULL = StepRecord(
    step=3,
    stamp_ns=1_700_000_000_123_456_789,
    objects={"front": 2, "top": 5},
    bins=[1] * 12,
    primitive="PICK_PLACE",
    pose0=[0.4321, -0.25, math.pi / 2],
    pose1=[0.5, 0.125, None],
    confidence=[0.5] * 12,
    command_id="7/3/1",
    waypoints=[{"x": 0.4, "y": 0.1, "z": 0.3, "yaw": 0.0, "tool_on": False}],
    code="OK",
    times={"detection": 0.01, "decision": 0.0456, "command": 0.05},
)


def test_a_row_says_what_was_seen_decided_and_answered():
    assert FULL.row == [
        "3",
        "2/5",
        "PICK_PLACE",
        "(0.432, -0.250)  +90°",
        "(0.500, +0.125) no yaw",
        "OK",
        "46",
    ]
    assert len(FULL.row) == len(HEADINGS)


def test_a_row_without_a_decision_says_so():
    assert StepRecord(0, 1).row == ["0", "-/-", "-", "-", "-", "NO_DECISION", "-"]
    assert StepRecord(0, 1, objects={"top": 0}).row[1] == "-/0"
    assert StepRecord(0, 1, episode="STOPPED").row[5] == "NO_DECISION (STOPPED)"


@pytest.mark.parametrize(
    ("bins", "code", "decided"),
    [
        ([1] * 12, "OK", True),
        ([1] * 12, "OUTSIDE_WORKSPACE", True),
        ([1] * 12, "NO_DECISION", False),
        ([], "OK", False),
    ],
)
def test_decided_is_what_has_bins_and_an_answer(bins, code, decided):
    assert StepRecord(0, 1, bins=bins, code=code).decided is decided


def test_the_report_holds_all_fields_and_makes_its_folder(tmp_path):
    path = tmp_path / "new" / "folder" / "replay.json"
    write_report(path, "some/bag", {"text": "Put the {a} aside."}, [FULL, StepRecord(4, 2)])
    content = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert content["bag"] == "some/bag"
    assert content["prompt"] == {"text": "Put the {a} aside."}
    assert [StepRecord(**step) for step in content["steps"]] == [FULL, StepRecord(4, 2)]


def test_an_earlier_report_is_replaced(tmp_path):
    path = tmp_path / "replay.json"
    for steps in ([FULL, FULL], [FULL]):
        write_report(path, "bag", {}, steps)
    assert len(json.loads(path.read_text())["steps"]) == 1
