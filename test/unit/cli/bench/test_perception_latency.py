import json
import os
import stat

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here")
pytest.importorskip("vima_msgs.msg", reason="vima_msgs is not built or not sourced")

from vima_ros.benchmarks.detector_baseline_process import BaselineProcess, save_images
from vima_ros.cli.bench import perception_latency
from vima_ros.cli.bench.synthetic_cameras import NOISE, NOISE_VARIANTS, camera_images
from vima_ros.errors import VimaError
from vima_ros.perception.view_transform import to_policy_frame


def program(path, *lines):
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_baseline_answers_each_question(tmp_path):
    python = program(
        tmp_path / "python",
        """echo '{"torch": "9"}'""",
        """while read boxes; do echo "{\\"seconds\\": 1, \\"boxes\\": [$boxes, 0]}"; done""",
    )
    with BaselineProcess(python, tmp_path / "images.npy", 2) as baseline:
        assert baseline.versions == {"torch": "9"}
        assert [baseline.detect(n)["boxes"] for n in (100, 8)] == [[100, 0], [8, 0]]


@pytest.mark.parametrize("there", [False, True])
def test_without_a_baseline_it_says_what_to_do(tmp_path, there):
    path = program(tmp_path / "python", "exit 3") if there else tmp_path / "none"
    with pytest.raises(VimaError, match=r"vima --train setup.*--baseline-python") as error:
        BaselineProcess(path, tmp_path / "images.npy", 2)
    assert error.value.code == "NO_BASELINE"


def test_the_real_baseline_detects_in_both_pictures(tmp_path):
    python = perception_latency.detector_baseline_process.default_python()
    if not os.access(python, os.X_OK):
        pytest.skip("no torchvision: ./vima --train setup")
    images = tmp_path / "images.npy"
    image = np.zeros((64, 96, 3), np.uint8)
    save_images(images, {"front": image, "top": image})
    with BaselineProcess(python, images, 2) as baseline:
        answer = baseline.detect(3)
    assert answer["seconds"] > 0
    assert [n <= 3 for n in answer["boxes"]] == [True, True]


def test_cameras_show_the_frame_in_the_middle_and_never_twice_the_same():
    random = np.random.default_rng(0)
    frame = {view: np.zeros((128, 256, 3), np.uint8) for view in ("front", "top")}
    for image in frame.values():  # large patches: enlarging blurs what is small
        image[:] = np.kron(random.integers(0, 255, (4, 8, 3)), np.ones((32, 32, 1)))
    pairs = camera_images([frame])
    assert len(pairs) == NOISE_VARIANTS
    assert not np.array_equal(pairs[0]["top"], pairs[1]["top"])
    for view, image in pairs[0].items():
        assert (image.shape, image.dtype) == ((480, 640, 3), np.uint8)
        off = np.abs(to_policy_frame(image).astype(int) - frame[view])
        assert np.percentile(off, 90) <= NOISE


def answers(*latencies, **fields):
    return {
        "latencies": list(latencies),
        "refused": {},
        "lost": 0,
        "objects": [6] * len(latencies),
        "why": "",
    } | fields


def results(**fields):
    return {
        "machine": {"date": "today", "processor": "one", "cores": 2, "load": 0.1},
        "plan": {"detector": "onnx", "threads": 2, "cores": 2},
        "one_by_one": answers(0.04, 0.05, 0.06),
        "steadily": answers(0.07, 0.08, lost=5),
        "stages": {"detect": {"median": 40.0, "p99": 44.0}},
        "alone": {"detector": [0.03], "network": [0.02], "crops": [0.001]},
        "baseline": {
            "missing": "",
            "versions": {"torch": "9"},
            "calls": {
                "100": [{"seconds": 2.0, "boxes": [100, 100]}],
                "8": [{"seconds": s, "boxes": [8, 8]} for s in (0.9, 1.0, 1.1)],
            },
        },
    } | fields


def shown(**fields) -> str:
    return "\n".join(perception_latency.show(json.loads(json.dumps(results(**fields)))))


def test_the_page_tells_median_bound_and_factor():
    page = shown()
    assert "reached: 50.0 ms, met" in page
    assert "takes 40.0 ms of that (80 %)" in page
    assert "plain ONNX Runtime 20.0 ms" in page
    assert "reached: 20.0 times, met" in page  # of the baseline with few boxes
    assert "40.0" in page  # and of the other, in the table


def test_what_is_not_reached_is_said():
    page = shown(one_by_one=answers(0.2, 0.2, 0.2))
    assert "200.0 ms, NOT MET" in page
    assert "5.0 times, NOT MET" in page


def test_what_is_missing_is_said():
    assert "NOT compared with a baseline: no torchvision" in shown(
        baseline={"missing": "no torchvision", "versions": {}, "calls": {"100": [], "8": []}}
    )
    page = shown(one_by_one=answers(refused={"NO_OBJECT": 3}, why="an empty table"))
    assert "3 NO_OBJECT" in page
    assert "nothing to compare: an empty table" in page
