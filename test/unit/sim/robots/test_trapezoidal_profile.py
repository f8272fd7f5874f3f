import math

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from vima_ros.sim.robots.trapezoidal_profile import ACCELERATION, TURN_RADIUS, TrapezoidalProfile

coordinate = st.floats(-1, 1)
places = st.tuples(coordinate, coordinate, coordinate, st.floats(-10, 10)).map(np.array)
moves = st.builds(TrapezoidalProfile, places, places, st.floats(0.01, 2))


@given(moves)
def test_it_begins_at_the_start_and_ends_at_the_end_by_the_shorter_turn(move):
    assert np.allclose(move.at(0.0)[0], move.start)
    end, velocity = move.at(move.duration)
    assert np.allclose(end[:3], move.end[:3])
    assert math.isclose(math.cos(end[3] - move.end[3]), 1.0, abs_tol=1e-9)
    assert abs(end[3] - move.start[3]) <= math.pi + 1e-9
    assert not velocity.any()


@given(moves, st.floats(0, 1))
def test_neither_speed_nor_turn_is_above_the_limit(move, part):
    velocity = move.at(part * move.duration)[1]
    assert np.linalg.norm(velocity[:3]) <= move.speed * (1 + 1e-9)
    assert abs(velocity[3]) * TURN_RADIUS <= move.speed * (1 + 1e-9)


@given(moves, st.floats(0, 0.99))
def test_the_velocity_is_the_change_of_the_position(move, part):
    step = 1e-3
    assume(move.duration > 10 * step)
    time = part * move.duration
    (before, velocity), (after, _) = move.at(time), move.at(time + step)
    assert np.abs((after - before) / step - velocity)[:3].max() <= 2 * ACCELERATION * step + 1e-9


@given(moves, st.floats(0, 1))
def test_it_stays_on_the_straight_line(move, part):
    along = move.at(part * move.duration)[0] - move.start
    change = move.change
    assert np.linalg.norm(np.cross(along[:3], change[:3])) < 1e-9


def test_no_way_takes_no_time():
    place = np.array([0.5, 0.0, 0.3, 1.0])
    assert TrapezoidalProfile(place, place, 0.5).duration == 0.0
