"""Stale and frozen pictures, each view for itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vima_ros.errors import VimaError
from vima_ros.perception.freshness import Freshness

SECOND = 1_000_000_000
RNG = np.random.default_rng(0)


def noisy():
    return RNG.integers(0, 255, (6, 8, 3), np.uint8)


STILL = noisy()


def frozen(freshness, stamp, frozen_after=1.0, **images):
    """The refusal's text, empty if there is none."""
    try:
        freshness.check_frozen(images, dict.fromkeys(images, stamp), frozen_after)
    except VimaError as error:
        return f"{error.code}: {error}"
    return ""


@given(st.lists(st.integers(1, SECOND), min_size=1, max_size=30), st.floats(0.1, 5))
def test_the_same_pixels_are_frozen_exactly_when_shown_for_longer(steps, frozen_after):
    freshness, began = Freshness(), 7 * SECOND
    stamps = began + np.concatenate([[0], np.cumsum(steps)])
    for stamp in stamps.tolist():
        said = frozen(freshness, stamp, frozen_after, front=STILL, top=noisy())
        assert bool(said) == ((stamp - began) / 1e9 > frozen_after)
        assert "top view" not in said


def test_one_changed_bit_begins_anew():
    freshness, changed = Freshness(), STILL.copy()
    changed[3, 4, 1] ^= 1
    assert not frozen(freshness, 0, top=STILL)
    assert not frozen(freshness, SECOND, top=changed)
    assert not frozen(freshness, 2 * SECOND, top=changed)
    assert "top view: the same pixels for 1.1 s" in frozen(
        freshness, SECOND * 21 // 10, top=changed
    )


def test_the_same_bytes_in_another_shape_are_another_picture():
    freshness = Freshness()
    assert not frozen(freshness, 0, top=np.zeros((4, 6, 3), np.uint8))
    assert not frozen(freshness, 5 * SECOND, top=np.zeros((6, 4, 3), np.uint8))


def test_after_a_reset_or_while_switched_off_nothing_is_remembered():
    freshness = Freshness()
    frozen(freshness, 0, front=STILL)
    freshness.reset()
    assert not frozen(freshness, 5 * SECOND, front=STILL)
    assert not frozen(freshness, 10 * SECOND, 0.0, front=STILL)
    assert not frozen(freshness, 15 * SECOND, front=STILL)
    assert frozen(freshness, 20 * SECOND, front=STILL)


@pytest.mark.parametrize(
    ("age", "said"),
    [(0, ""), (1.0, ""), (1.01, "1.01 s old"), (-1.0, ""), (-1.2, "1.20 s ahead of this clock")],
)
def test_age_is_judged_by_the_clock_in_both_directions(age, said):
    now = 100 * SECOND
    stamps = {"front": now, "top": now - round(age * 1e9)}
    if not said:
        Freshness().check_age(stamps, now, 1.0)
        return
    with pytest.raises(VimaError, match=f"^top view: .*{said}.*valid: up to 1 s") as caught:
        Freshness().check_age(stamps, now, 1.0)
    assert caught.value.code == "STALE"
    Freshness().check_age(stamps, now, 0.0)  # any age


def test_both_views_are_named():
    with pytest.raises(VimaError, match=r"front view: .*; top view: ") as caught:
        Freshness().check_age({"front": 1, "top": 1}, 9 * SECOND, 1.0)
    assert caught.value.code == "STALE"


def test_a_clock_that_has_not_started_tells_no_age():
    Freshness().check_age({"front": 1_700_000_000 * SECOND}, 0, 1.0)
