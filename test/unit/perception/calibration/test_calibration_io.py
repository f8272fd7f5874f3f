"""Calibration files: what is read is what was written, or an error that names what is wrong."""

from dataclasses import asdict

import numpy as np
import pytest
import yaml
from rendered_table import PinholeCamera, table_texture

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.perception.calibration.calibration import workspace_corners
from vima_ros.perception.calibration.camera_model import CameraModel
from vima_ros.perception.calibration.charuco import Board, PlacedBoard
from vima_ros.perception.calibration.estimation import calibrate
from vima_ros.perception.calibration.io import load_calibration, save_calibration


def made(camera_model=True, board=True):
    workspace = Workspace((0.25, -0.4), (0.65, 0.4))
    camera = PinholeCamera(d=(-0.2, 0.05, 1e-5, 0, 0))
    points = workspace_corners(workspace)
    return calibrate(
        "top",
        np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8),
        camera.show(points),
        camera_model=CameraModel(camera.k, camera.d) if camera_model else None,
        workspace=workspace,
        board=PlacedBoard(Board(0.047, legacy=True), 0.1, -0.2, 1e-5) if board else None,
    )


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "top.yaml"
    save_calibration(path, made())
    return path


@pytest.mark.parametrize(("camera_model", "board"), [(True, True), (False, False), (True, False)])
def test_what_is_written_is_read(tmp_path, camera_model, board):
    path, calibration = tmp_path / "a.yaml", made(camera_model, board)
    save_calibration(path, calibration)
    read = load_calibration(path)
    for name in ("homography", "corners", "patches"):
        np.testing.assert_array_equal(getattr(read, name), getattr(calibration, name))
    for name in ("view", "size", "workspace", "board", "created", "method"):
        assert getattr(read, name) == getattr(calibration, name), name
    assert asdict(read.fit) == asdict(calibration.fit)
    if camera_model:
        assert read.camera_model.equals(calibration.camera_model)
        np.testing.assert_array_equal(read.camera_model.d, calibration.camera_model.d)
    else:
        assert read.camera_model is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.yaml", "a_patches.png"]


def test_it_is_written_for_people_too(written):
    text = written.read_text()
    assert text.startswith("# ")
    assert "view: top\n" in text
    assert "size: [640, 480]\n" in text


def changed(path, **changes):
    content = yaml.safe_load(path.read_text()) | changes
    path.write_text(yaml.safe_dump({k: v for k, v in content.items() if v != "gone"}))
    with pytest.raises(VimaError) as error:
        load_calibration(path)
    assert error.value.code == "BAD_CALIBRATION"
    return str(error.value)


KEYS = ["view", "created", "method", "size", "workspace", "lens", "homography", "corners"]


@pytest.mark.parametrize("key", [*KEYS, "patches", "fit", "board"])
def test_a_missing_key_is_named(written, key):
    assert key in changed(written, **{key: "gone"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": "something else"}, "format"),
        ({"view": "side"}, "front, top"),
        ({"method": "guess"}, "corners, charuco"),
        ({"size": [640]}, "size"),
        ({"size": [0, 480]}, "size"),
        ({"homography": [[1, 0, 0], [0, 1, 0]]}, "homography"),
        ({"homography": [[1, 0, 0], [1, 0, 0], [0, 0, 1]]}, "homography"),
        ({"homography": [[1, 0, 0], [0, float("nan"), 0], [0, 0, 1]]}, "homography"),
        ({"homography": "none"}, "valid"),
        ({"corners": [[1, 2]]}, "corners"),
        ({"workspace": {"low": [1, 1], "high": [0, 0]}}, "workspace"),
        ({"workspace": {"low": [1, 1], "up": [0, 0]}}, "up"),
        ({"lens": {"model": "magic", "k": [1] * 9, "d": []}}, "magic"),
        ({"board": {"squares": [5, 4]}}, "square"),
        ({"patches": {"file": "../top_patches.png", "sha256": ""}}, "no folder"),
        ({"patches": {"file": "top_patches.png", "sha256": ""}}, "belongs"),
        ({"fit": {"rigid_px": None, "points": 4}}, "valid"),
    ],
)
def test_a_wrong_value_is_named(written, changes, says):
    assert says in changed(written, **changes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "data", [b"", b"a: [", b"\xff\xfe", b"- 1\n", b"#" * (1 << 20) + b"##", b"[" * 3000]
)
def test_another_kind_of_file_is_refused(written, data):
    written.write_bytes(data)
    with pytest.raises(VimaError, match=r"top\.yaml") as error:
        load_calibration(written)
    assert error.value.code == "BAD_CALIBRATION"


@pytest.mark.slow
def test_a_file_of_more_than_a_mebibyte_is_refused(written):
    room = (1 << 20) - len(written.read_bytes())
    with written.open("a") as file:
        file.write("#" * room)
    assert load_calibration(written).view == "top"
    with written.open("a") as file:
        file.write("#")
    with pytest.raises(VimaError, match=r"top\.yaml") as error:
        load_calibration(written)
    assert error.value.code == "BAD_CALIBRATION"


def test_a_missing_file_is_refused_with_the_program_that_makes_it(written):
    written.with_name("top_patches.png").unlink()
    for path in (written, written.with_name("other.yaml")):
        with pytest.raises(VimaError, match="calibrate") as error:
            load_calibration(path)
        assert error.value.code == "NO_CALIBRATION"


def test_patches_of_another_calibration_are_refused(written):
    other = calibrate("top", PinholeCamera().look_at(table_texture()), made().corners)
    save_calibration(written.with_name("other.yaml"), other)
    written.with_name("other_patches.png").replace(written.with_name("top_patches.png"))
    with pytest.raises(VimaError, match="belongs") as error:
        load_calibration(written)
    assert error.value.code == "BAD_CALIBRATION"


def test_a_failed_write_leaves_the_old_file(written, monkeypatch):
    before = {path.name: path.read_bytes() for path in written.parent.iterdir()}

    def full(self, target):
        raise OSError("no space left on device")

    monkeypatch.setattr(type(written), "replace", full)
    with pytest.raises(VimaError, match="no space") as error:
        save_calibration(written, made(board=False))
    assert error.value.code == "CANNOT_WRITE"
    assert {path.name: path.read_bytes() for path in written.parent.iterdir()} == before
