"""Pictures to train the detector on, and how they are made to differ."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vima_ros.errors import VimaError
from vima_ros.training.data.collect import CollectionPlan, collect
from vima_ros.training.data.readers import read_recordings
from vima_ros.training.detector.augmentation import MIN_PIXELS, augment, instance_targets
from vima_ros.training.detector.dataset import ImageSource, draw, is_crowded, read_source
from vima_ros.training.evaluation.detector_frames import FIRST_EVALUATION_SEED


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "tables"
    for _ in collect(CollectionPlan(path, ("rotate",), 2, 1_000_000, "train", "masks", 0.5, 1)):
        pass
    return path


@pytest.mark.slow
def test_every_frame_and_prompt_picture_is_read_as_it_was_recorded(folder):
    source = read_source(folder)
    recordings = list(read_recordings(folder))
    frames = [rgb for r in recordings for timestep in r.images.rgb for rgb in timestep]
    masks = [ids for r in recordings for timestep in r.images.masks for ids in timestep]
    assert source.name == "tables"
    kept = source.scenes + source.validation  # the second recording is for validation
    assert len(source.validation) == 2 * len(recordings[1].images.rgb)
    assert len(source.prompts) == 2 * len(recordings[0].assets)
    for image, frame, mask in zip(kept, frames, masks, strict=True):
        decoded = image.decode()
        assert (decoded[0] == frame).all()
        assert (decoded[1] == mask).all()


@pytest.mark.slow
def test_frames_without_masks_are_refused(tmp_path):
    for _ in collect(
        CollectionPlan(tmp_path, ("rotate",), 1, 1_000_000, "train", "frames", 0.0, 1)
    ):
        pass
    with pytest.raises(VimaError) as caught:
        read_source(tmp_path)
    assert caught.value.code == "NO_MASK"


def test_sources_are_drawn_from_equally_and_scenes_more_often_than_prompts(folder):
    small = read_source(folder)
    only_scenes = ImageSource("other", small.scenes * 50, ())
    drawn = list(draw([small, only_scenes], 4000, np.random.default_rng(0)))
    prompts = sum(image in small.prompts for image in drawn) / 4000
    assert 0.05 < prompts < 0.10  # 15 % of one half


def test_crowded_scenes_are_drawn_more_often(folder):
    source = read_source(folder)
    scenes = source.scenes + source.validation
    crowded = ImageSource("crowded", scenes, (), (3,))
    drawn = list(draw([crowded], 4000, np.random.default_rng(0)))
    assert 0.5 < sum(image is scenes[3] for image in drawn) / 4000 < 0.6  # 1/2 + 1/2 x 1/8


@pytest.mark.parametrize(
    ("second", "size", "crowded"),
    [(40, 20, True), (42, 20, False), (60, 9, True), (60, 10, False)],
)
def test_crowded_is_what_touches_or_is_small(second, size, crowded):
    mask = np.zeros((128, 256), np.uint8)
    mask[20:40, 20:40] = 1
    mask[30 : 30 + size, second : second + size] = 2
    assert is_crowded(mask) == crowded


@pytest.mark.slow
def test_seeds_kept_for_measuring_are_refused(tmp_path):
    plan = CollectionPlan(
        tmp_path, ("rotate",), 1, FIRST_EVALUATION_SEED, "train", "masks", 0.0, 1
    )
    for _ in collect(plan):
        pass
    with pytest.raises(VimaError) as caught:
        read_source(tmp_path)
    assert caught.value.code == "EVALUATION_SEED"


def table(random) -> tuple[np.ndarray, np.ndarray]:
    """Some rectangles of different grey on black, and their ids."""
    frame, mask = np.zeros((128, 256, 3), np.uint8), np.zeros((128, 256), np.uint8)
    for i in range(1, random.integers(2, 6)):
        x, y = random.integers(0, 220), random.integers(0, 100)
        mask[y : y + random.integers(1, 40), x : x + random.integers(1, 40)] = i
    frame[:] = (mask * 40)[..., None]
    return frame, mask


@given(seed=st.integers(0, 2**32 - 1))
def test_frame_and_mask_stay_together(seed):
    random = np.random.default_rng(seed)
    frame, mask = table(random)
    again, ids = augment(frame, mask, random)
    assert again.dtype == ids.dtype == np.uint8
    assert again.shape == frame.shape
    assert ids.shape == mask.shape
    assert set(np.unique(ids)) <= set(np.unique(mask))


def test_the_picture_moves_with_its_mask():
    for seed in range(60):
        random = np.random.default_rng(seed)
        frame, mask = np.zeros((128, 256, 3), np.uint8), np.zeros((128, 256), np.uint8)
        frame[40:90, 60:150], mask[40:90, 60:150] = 230, 1
        again, ids = augment(frame, mask, random)
        inside, outside = again[ids > 0].mean(), again[ids == 0].mean()
        assert inside > outside + 60


@given(seed=st.integers(0, 2**32 - 1))
def test_targets_are_the_objects_and_their_tight_boxes(seed):
    _, mask = table(np.random.default_rng(seed))
    boxes, masks = instance_targets(mask)
    sizes = {i: (mask == i).sum() for i in np.unique(mask) if i}
    assert len(boxes) == len(masks) == sum(size >= MIN_PIXELS for size in sizes.values())
    for (left, top, right, bottom), pixels in zip(boxes.astype(int), masks, strict=True):
        rows, columns = np.nonzero(pixels)
        assert (left, top) == (columns.min(), rows.min())
        assert (right, bottom) == (columns.max() + 1, rows.max() + 1)
        assert len(np.unique(mask[pixels])) == 1
