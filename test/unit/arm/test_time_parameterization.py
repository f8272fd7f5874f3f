import math

import numpy as np
import pytest
from controller import in_between
from hypothesis import given
from hypothesis import strategies as st

from vima_ros.arm.time_parameterization import JointPath, time_parameterize

MAX_VELOCITY, ACCELERATION = np.array([1.0, 3.0]), 4.0


@st.composite
def paths(draw):
    """Smooth ones of two joints, some of which turn back; the tip moves with the first joint."""
    numbers = st.floats(-2, 2)
    count = draw(st.integers(2, 12))
    s = np.linspace(0, 1, count)[:, None]
    a, b, c = (np.array(draw(st.tuples(numbers, numbers))) for _ in range(3))
    phase = draw(st.floats(0, 6))
    knots = a + b * s + c * np.sin(4 * s + phase)
    slopes = b + 4 * c * np.cos(4 * s + phase)
    path = JointPath(knots, slopes, 0.0)
    return JointPath(knots, slopes, np.abs(path.sample(50)[1][..., 0]).max())


@given(paths(), st.floats(0.05, 5))
def test_no_limit_is_exceeded_at_or_between_the_times(path, speed):
    timed = time_parameterize(path, MAX_VELOCITY, ACCELERATION, speed)
    _, velocity, acceleration = in_between(*timed)
    assert (np.abs(velocity).max(axis=(0, 1)) <= MAX_VELOCITY).all()
    assert np.abs(velocity[..., 0]).max() <= speed + 1e-9  # of the tip, which is the first joint's
    assert np.abs(acceleration).max() <= ACCELERATION


@given(paths(), st.floats(0.05, 5))
def test_times_rise_from_0_and_the_path_is_followed_from_rest_to_rest(path, speed):
    times, positions, velocities = time_parameterize(path, MAX_VELOCITY, ACCELERATION, speed)
    assert times[0] == 0
    assert (np.diff(times) > 1e-4).all()
    assert not velocities[[0, -1]].any()
    np.testing.assert_array_equal(positions[[0, -1]], path.knots[[0, -1]])
    inside = len(path.knots) - 2
    for knot in path.knots[1 : 1 + inside]:
        assert np.abs(positions - knot).max(axis=1).min() < 1e-9


@given(st.floats(0.01, 2), st.floats(0.1, 3), st.floats(0.5, 10))
def test_a_straight_path_takes_little_more_than_the_minimum_time(way, speed, acceleration):
    """Of a trapezoid of speed; knots as far apart as in a trajectory."""
    knots = np.linspace(0, way, max(math.ceil(way / 0.025), 1) + 1)[:, None]
    path = JointPath(knots, np.full_like(knots, way), way)
    duration = time_parameterize(path, np.ones(1) * 100, acceleration, speed)[0][-1]
    peak = min(speed, math.sqrt(way * acceleration))
    least = way / peak + peak / acceleration
    assert least <= duration < 1.05 * least + 0.15


def test_a_bend_slows_only_where_it_is():
    """A sharp turn at one end costs time there, not along the whole path."""
    s = np.linspace(0, 1, 101)[:, None]
    bent = JointPath(3 * s + 0.05 * np.exp(-40 * s), 3 - 2 * np.exp(-40 * s), 3.0)
    smooth = JointPath(3 * s, np.full_like(s, 3.0), 3.0)
    times = [
        time_parameterize(path, np.ones(1), ACCELERATION, 9.0)[0][-1] for path in (bent, smooth)
    ]
    assert times[0] < times[1] + 0.5


@pytest.mark.parametrize("way", [0.0, 1e-12, 1e-7])
def test_a_path_without_motion_takes_a_moment(way):
    path = JointPath(np.array([[1.0] * 3, [1.0 + way] * 3]), np.full((2, 3), way), way)
    times, positions, velocities = time_parameterize(path, np.ones(3), 1.0, 1.0)
    assert 0.04 < times[-1] < 0.2
    assert np.abs(positions - 1).max() <= 1.001 * way
    assert np.abs(velocities).max() <= 100 * way
    assert positions.shape == velocities.shape == (len(times), 3)


def test_a_path_without_motion_ends_at_its_last_knot():
    knots = np.array([[1.0], [1.0 + 1e-12], [1.0 + 2e-12]])
    positions = time_parameterize(JointPath(knots, np.zeros((3, 1)), 0.0), np.ones(1), 1.0, 1.0)[1]
    assert positions.tolist() == [knots[0].tolist(), knots[2].tolist()]


def test_a_rotation_on_the_spot_is_limited_by_the_joints():
    path = JointPath(np.array([[0.0], [3.0]]), np.full((2, 1), 3.0), 0.0)
    assert time_parameterize(path, np.ones(1), 4.0, 0.01)[0][-1] == pytest.approx(3.25, rel=0.05)
