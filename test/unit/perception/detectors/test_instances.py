import numpy as np
import pytest

from vima_ros.errors import VimaError
from vima_ros.perception.detectors.base import Detector
from vima_ros.perception.detectors.instances import Instances

IMAGE = np.zeros((128, 256, 3), np.uint8)
MASK = np.zeros((128, 256), np.uint16)


def test_fields_are_read_only_copies():
    mask = MASK.copy()
    mask[3, 4] = 700
    instances = Instances(mask, [700, 2], [1.0, 0.5])
    mask[3, 4] = 0
    assert instances.mask[3, 4] == 700
    assert instances.ids.dtype == np.int64
    assert instances.scores.dtype == np.float32
    assert len(instances) == 2
    for array in (instances.mask, instances.ids, instances.scores):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_without_ids_there_are_no_instances():
    assert len(Instances(MASK, [], [])) == 0


@pytest.mark.parametrize(
    ("mask", "ids", "scores", "says"),
    [
        (MASK[:100], [], [], r"\(100, 256\)"),
        (MASK.astype(np.int32), [], [], "int32"),
        (MASK, [1, 1], [1, 1], "each once"),
        (MASK, [0], [1], "1 to 65535"),
        (MASK, [70000], [1], "1 to 65535"),
        (MASK, [1], [1.5], "0 to 1"),
        (MASK, [1], [np.nan], "0 to 1"),
        (MASK, [1, 2], [1], r"\(n,\)"),
        (MASK + np.uint16(9), [1], [1], r"mask holds \[9\]"),
    ],
)
def test_bad_values_are_refused(mask, ids, scores, says):
    with pytest.raises(VimaError, match=says) as error:
        Instances(mask, ids, scores)
    assert error.value.code == "INVALID_VALUE"


class _Recorder(Detector):
    def __init__(self, needs_mask):
        self.needs_mask = needs_mask

    def _find(self, image_rgb, view, mask):
        return Instances(MASK, [], [])


@pytest.mark.parametrize(
    ("image", "view", "mask", "code"),
    [
        (IMAGE[:, :-1], "top", MASK, "INVALID_VALUE"),
        (IMAGE.astype(np.float32), "top", MASK, "INVALID_VALUE"),
        (IMAGE[..., 0], "top", MASK, "INVALID_VALUE"),
        ("an image", "top", MASK, "INVALID_VALUE"),
        (IMAGE, "side", MASK, "INVALID_VALUE"),
        (IMAGE, "top", MASK.astype(np.int64), "INVALID_VALUE"),
        (IMAGE, "top", None, "NO_MASK"),
    ],
)
def test_every_detector_checks_its_input(image, view, mask, code):
    with pytest.raises(VimaError) as error:
        _Recorder(needs_mask=True).detect(image, view, mask)
    assert error.value.code == code


def test_a_mask_is_optional_for_other_detectors():
    assert len(_Recorder(needs_mask=False).detect(IMAGE, "front")) == 0


class _Counter(Detector):
    """Finds one pixel, at (0, 0) in front and (1, 1) on top; says no to black images."""

    def _find(self, image_rgb, view, mask):
        if not image_rgb.any():
            raise VimaError("TOO_DARK", "black")
        found = MASK.copy()
        found[(1, 1) if view == "top" else (0, 0)] = 1 if mask is None else mask[5, 5]
        return Instances(found, np.unique(found)[1:], [1.0])


def test_each_view_is_processed_with_its_own_image_and_mask():
    found = _Counter().detect_views({"top": IMAGE + 1, "front": IMAGE + 1}, {"top": MASK + 9})
    assert list(found) == ["top", "front"]
    assert found["top"].mask[1, 1] == 9
    assert found["front"].mask[0, 0] == 1
    assert _Counter().describe() == {}


@pytest.mark.parametrize(
    ("images", "masks", "code"),
    [
        ({"front": IMAGE + 1, "top": IMAGE}, None, "TOO_DARK"),
        ({"front": IMAGE + 1, "top": IMAGE[1:]}, None, "INVALID_VALUE"),
        ({"front": IMAGE + 1, "top": IMAGE + 1}, {"top": MASK[1:]}, "INVALID_VALUE"),
    ],
)
def test_an_error_names_its_view(images, masks, code):
    with pytest.raises(VimaError, match=r"^top view: ") as error:
        _Counter().detect_views(images, masks)
    assert error.value.code == code
