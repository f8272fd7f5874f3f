"""Picks inside outlines: the most probable bin, clear of the edge, never in a hole."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from outlines_of import outline

from vima_ros.outlines import clearances
from vima_ros.perception.crops import extract_objects
from vima_ros.perception.detectors.instances import Instances
from vima_ros.policy.action_selection import EXCLUSION_RADIUS, select_pick
from vima_ros.policy.picked_object import CLEARANCES, Pick, bin_pixels, picked_object
from vima_ros.specs import POSITION_BINS, Action, ViewObjects

IMAGE = np.zeros((128, 256, 3), np.uint8)
ROWS, COLUMNS = np.indices((128, 256))
PIXELS = bin_pixels().reshape(-1, 2)


def view_of(mask):
    """The objects of a mask of ids, (128, 256)."""
    ids = np.unique(mask[mask > 0])
    found = Instances(mask.astype(np.uint16), ids, np.ones(len(ids)))
    return extract_objects(IMAGE, found, with_outlines=True)


def action_at(x, y):
    return Action([x, y, *[25] * 4, 0, 0, *[25] * 4])


@st.composite
def scenes(draw):
    """Discs, bars and frames that may cover each other, as ids of pixels."""
    mask = np.zeros((128, 256), np.int64)
    for number in range(1, draw(st.integers(1, 7)) + 1):
        x, y = draw(st.integers(0, 255)), draw(st.integers(0, 127))
        size = draw(st.integers(4, 25))
        far = np.maximum(abs(COLUMNS - x), abs(ROWS - y))
        part = {
            "disc": np.hypot(COLUMNS - x, ROWS - y) <= size,
            "bar": (abs(COLUMNS - x) <= size) & (abs(ROWS - y) <= max(size // 3, 2)),
            "frame": (far <= size) & (far > size * 0.6),
        }[draw(st.sampled_from(["disc", "bar", "frame"]))]
        mask[part] = number
    return mask


@st.composite
def scores(draw):
    """Logits of x and y with a peak somewhere, as a policy's."""
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    x, y = (random.normal(size=n) for n in POSITION_BINS)
    x[random.integers(50)] += 8
    y[random.integers(100)] += 8
    return np.concatenate([x, y]).astype(np.float32)


def allowed_bins(top, missed):
    """By brute force, the bins at which each object may be picked: {index: bool (50, 100)}."""
    free = np.ones(POSITION_BINS, bool)
    for action in missed:
        near = np.abs(np.indices(POSITION_BINS).transpose(1, 2, 0) - action.bins[:2]).max(-1)
        free &= near > EXCLUSION_RADIUS
    allowed = {}
    for i in range(len(top)):
        clear = clearances(top.outlines[i], PIXELS).reshape(POSITION_BINS)
        clear[~free] = -np.inf
        for limit in CLEARANCES:
            if (clear >= limit).any():
                allowed[i] = clear >= limit
                break
    return allowed


@pytest.mark.slow
@settings(deadline=None)
@given(scenes(), scores(), st.lists(st.tuples(st.integers(0, 49), st.integers(0, 99)), max_size=3))
def test_the_pick_is_the_most_probable_bin_clear_of_an_edge(mask, logits, at):
    top, missed = view_of(mask), [action_at(*bins) for bins in at]
    allowed = allowed_bins(top, missed)
    assume(len(allowed) == len(top) > 0)  # no object so small that no bin is inside
    pick = select_pick(logits, missed, top)
    joint = logits[:50, None].astype(np.float64) + logits[50:]
    best = max(joint[bins].max() for bins in allowed.values())
    assert joint[pick.bins] == best
    assert allowed[pick.object][pick.bins]
    assert pick.track_id == top.track_ids[pick.object]
    point = bin_pixels()[pick.bins]
    column, row = np.rint(point).astype(int)
    assert clearances(top.outlines[pick.object], point[None])[0] >= 0
    others = mask[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
    assert pick.track_id in others, "the mask is there, or beside it"


def test_nothing_is_picked_in_a_hole():
    far = np.maximum(abs(COLUMNS - 128), abs(ROWS - 63))
    top = view_of((far <= 20) & (far > 12))
    logits = np.zeros(150, np.float32)
    logits[25], logits[50 + 50] = 20, 20  # the middle of the hole: column 128, row 63
    assert select_pick(logits).bins == (25, 50)
    pick = select_pick(logits, top=top)
    assert pick.object == 0
    column, row = bin_pixels()[pick.bins]
    assert 12 < max(abs(column - 128), abs(row - 63)) <= 20
    assert picked_object(top, pick.bins) == 0


@pytest.mark.parametrize(
    ("width", "clear"), [(14, 2.0), (4, 1.0), (1, 0.0)], ids=["wide", "narrow", "thin"]
)
def test_the_pick_keeps_as_clear_as_the_object_allows(width, clear):
    top = view_of((abs(COLUMNS - 100) <= 30) & (abs(ROWS - 63) <= width / 2))
    random = np.random.default_rng(3)
    for _ in range(20):
        pick = select_pick(random.normal(size=150).astype(np.float32), top=top)
        got = clearances(top.outlines[0], bin_pixels()[pick.bins][None])[0]
        assert got >= clear


def test_an_object_between_the_bins_is_picked_at_the_nearest():
    """So that it can be chosen at all, and not another in its place."""
    x, y = bin_pixels()[20, 30]
    small = outline([(int(x) + 1, int(y) + 1), (int(x) + 2, int(y) + 1), (int(x) + 1, int(y) + 2)])
    far = outline([(200, 90), (220, 90), (220, 110), (200, 110)])
    objects = view_of((abs(COLUMNS - 20) < 3) * 1 + (abs(COLUMNS - 60) < 3) * 2)
    top = ViewObjects(*objects.fields[:4], np.stack([small, far]))
    logits = np.zeros(150, np.float32)
    logits[20], logits[50 + 30] = 5, 5
    pick = select_pick(logits, top=top)
    assert pick.object == 0
    assert max(abs(pick.bins[0] - 20), abs(pick.bins[1] - 30)) <= 1


def test_without_outlines_or_without_a_bin_left_the_pick_is_by_the_bins():
    mask = np.hypot(COLUMNS - 128, ROWS - 63) <= 2
    top = view_of(mask)
    logits = np.zeros(150, np.float32)
    logits[3], logits[50 + 4] = 5, 5
    assert select_pick(logits, top=ViewObjects.empty()) == Pick((3, 4))
    assert select_pick(logits, top=ViewObjects(*top.fields[:4])) == Pick((3, 4))
    assert select_pick(logits, top=top).object == 0
    missed = [action_at(x, y) for x in (22, 25, 28) for y in (47, 50, 53)]
    assert select_pick(logits, missed, top) == Pick((3, 4))


def test_on_overlapping_outlines_a_pick_is_of_the_one_further_from_its_edge():
    wide = outline([(100, 40), (160, 40), (160, 90), (100, 90)])
    beside = outline([(129, 40), (200, 40), (200, 90), (129, 90)])
    objects = view_of((COLUMNS < 3) * 1 + ((COLUMNS > 5) & (COLUMNS < 9)) * 2)
    top = ViewObjects(*objects.fields[:4], np.stack([beside, wide]))
    assert picked_object(top, (25, 51)) == 1  # column 130.5
    assert picked_object(top, (25, 62)) == 0  # column 158.1
