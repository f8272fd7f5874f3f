import json

import pytest
from helpers import data

pytest.importorskip("rclpy", reason="ROS 2 is not here")
pytest.importorskip("pycocotools", reason="pip install pycocotools (requirements/train.txt)")

from vima_ros.cli import evaluate_detector
from vima_ros.program import exit_code
from vima_ros.training.evaluation.detector_frames import FIRST_EVALUATION_SEED


def call(out, *arguments):
    words = ["--out", str(out), "--workers", "1", *map(str, arguments)]
    return exit_code("evaluate_detector", evaluate_detector.main, words)


@pytest.mark.slow
def test_it_measures_frames_of_both_kinds_and_says_so(tmp_path, capsys):
    bench = data("bench/episodes/follow_order")
    call(
        tmp_path,
        "--detector",
        "ground_truth_masks",
        "--frames",
        2,
        "--visual-randomization",
        0.5,
        "--vima-bench",
        bench,
    )
    report = json.loads((tmp_path / "detector.json").read_text())
    assert (
        report["frames"]["tabletop, visual randomization 0.5"]
        == report["frames"]["tabletop prompts"]
        == 2
    )
    assert report["frames"]["VIMA-Bench"] == 3  # before, between and after two actions
    assert {target["verdict"] for target in report["targets"]} == {"met"}
    assert report["facts"]["first seed"] == FIRST_EVALUATION_SEED
    assert "| VIMA-Bench " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (["--first-seed", FIRST_EVALUATION_SEED - 1], "TRAINING_SEED"),
        (["--frames", 0], "NO_FRAMES"),
        (["--min-score", 2], "INVALID_VALUE"),
        (["--vima-bench", "/nowhere", "--frames", 0], "NO_DEMONSTRATIONS"),
    ],
)
def test_a_mistake_ends_with_its_code(tmp_path, capsys, wrong, code):
    assert call(tmp_path, "--detector", "ground_truth_masks", *wrong) == 2
    assert code in capsys.readouterr().err
