"""Stale and frozen images, each view for itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vima_ros.errors import VimaError
from vima_ros.perception.staleness import StalenessChecker

SECOND = 1_000_000_000
RNG = np.random.default_rng(0)


def noisy():
    return RNG.integers(0, 255, (24, 32, 3), np.uint8)


STILL = noisy()


def frozen(freshness, stamp, frozen_timeout=1.0, noiseless=0.0, **images):
    """The refusal's text, empty if there is none."""
    stamps = dict.fromkeys(images, stamp)
    try:
        freshness.check_frozen(images, stamps, frozen_timeout, noiseless)
    except VimaError as error:
        return f"{error.code}: {error}"
    return ""


def camera_with_noise(**views) -> StalenessChecker:
    """Has seen images of ``views`` that differ each time, up to stamp 0."""
    freshness = StalenessChecker()
    for stamp in range(-10 * SECOND, 0, SECOND):
        assert not frozen(freshness, stamp, **{view: noisy() for view in views})
    for view in views:
        assert not frozen(freshness, 0, **{view: views[view]})
    return freshness


@given(st.lists(st.integers(1, SECOND), min_size=1, max_size=30), st.floats(0.1, 5))
def test_the_same_pixels_are_frozen_exactly_when_shown_for_longer(steps, frozen_timeout):
    freshness = camera_with_noise(front=STILL, top=noisy())
    for stamp in np.cumsum(steps).tolist():
        said = frozen(freshness, stamp, frozen_timeout, front=STILL.copy(), top=noisy())
        assert bool(said) == (stamp / 1e9 > frozen_timeout)
        assert "top view" not in said


def test_one_changed_bit_begins_anew():
    changed = STILL.copy()
    changed[3, 4, 1] ^= 1
    freshness = camera_with_noise(top=STILL)
    assert not frozen(freshness, SECOND, top=changed)
    assert not frozen(freshness, 2 * SECOND, top=changed)
    assert "top view: the same pixels for 1.1 s" in frozen(
        freshness, SECOND * 21 // 10, top=changed
    )


def test_an_image_of_another_size_begins_anew():
    freshness = camera_with_noise(top=np.zeros((4, 6, 3), np.uint8))
    assert not frozen(freshness, 5 * SECOND, top=np.zeros((6, 4, 3), np.uint8))


def test_after_a_reset_or_while_switched_off_nothing_is_remembered():
    freshness = camera_with_noise(front=STILL)
    freshness.reset()
    assert not frozen(freshness, 5 * SECOND, front=STILL)
    freshness = camera_with_noise(front=STILL)
    assert not frozen(freshness, 10 * SECOND, 0.0, front=STILL)
    assert not frozen(freshness, 15 * SECOND, front=STILL)


def simulated(step) -> np.ndarray:
    """A table without noise, and a robot that has gone ``step`` px across it."""
    image = np.full((48, 64, 3), 50, np.uint8)
    image[10:20, 40:50] = (200, 40, 30)
    image[:, step : step + 12] = 120
    return image


def test_a_simulator_at_rest_is_not_frozen_whatever_moved_before():
    freshness = StalenessChecker()
    for step in range(40):  # 2 s of motion, then 20 s at rest
        assert not frozen(freshness, step * SECOND // 20, top=simulated(step))
    for stamp in range(2, 22):
        assert not frozen(freshness, stamp * SECOND, top=simulated(40))


def test_without_noise_the_other_limit_counts():
    freshness = StalenessChecker()
    assert not frozen(freshness, 0, noiseless=30.0, top=simulated(0), front=STILL)
    assert not frozen(freshness, 30 * SECOND, noiseless=30.0, top=simulated(0), front=noisy())
    said = frozen(freshness, 31 * SECOND, noiseless=30.0, top=simulated(0), front=noisy())
    assert "top view: the same pixels for 31.0 s, of a camera without noise" in said
    assert "valid: up to 30 s" in said
    assert not frozen(freshness, 32 * SECOND, noiseless=0.0, top=simulated(0), front=noisy())


def test_frames_sent_twice_hide_no_noise():
    freshness = StalenessChecker()
    for stamp in range(10):
        image = noisy()
        for half in (0, 5):
            assert not frozen(freshness, stamp * SECOND + half * SECOND // 10, top=image)
    assert "FROZEN" in frozen(freshness, 11 * SECOND, top=image)


@pytest.mark.parametrize(
    ("age", "said"),
    [(0, ""), (1.0, ""), (1.01, "1.01 s old"), (-1.0, ""), (-1.2, "1.20 s ahead of this clock")],
)
def test_age_is_checked_in_both_directions_of_the_clock(age, said):
    now = 100 * SECOND
    stamps = {"front": now, "top": now - round(age * 1e9)}
    if not said:
        StalenessChecker().check_age(stamps, now, 1.0)
        return
    with pytest.raises(VimaError, match=f"^top view: .*{said}.*valid: up to 1 s") as caught:
        StalenessChecker().check_age(stamps, now, 1.0)
    assert caught.value.code == "STALE"
    StalenessChecker().check_age(stamps, now, 0.0)  # any age


def test_both_views_are_named():
    with pytest.raises(VimaError, match=r"front view: .*; top view: ") as caught:
        StalenessChecker().check_age({"front": 1, "top": 1}, 9 * SECOND, 1.0)
    assert caught.value.code == "STALE"


def test_without_a_started_clock_no_age_is_known():
    StalenessChecker().check_age({"front": 1_700_000_000 * SECOND}, 0, 1.0)
