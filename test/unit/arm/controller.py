"""What joint_trajectory_controller makes of a trajectory with positions and velocities."""

import numpy as np


def in_between(times, positions, velocities, count=11):
    """Positions, velocities, accelerations (m - 1, count, n) of the cubic between the points."""
    u = np.linspace(0, 1, count)[None, :, None]
    h = np.diff(times)[:, None, None]
    start, rise = positions[:-1, None], np.diff(positions, axis=0)[:, None]
    m0, m1 = h * velocities[:-1, None], h * velocities[1:, None]
    c2, c3 = 3 * rise - 2 * m0 - m1, m0 + m1 - 2 * rise
    return (
        start + u * (m0 + u * (c2 + u * c3)),
        (m0 + u * (2 * c2 + 3 * u * c3)) / h,
        (2 * c2 + 6 * u * c3) / h**2,
    )


def at(time, times, positions, velocities):
    """Positions and velocities (n,) at ``time``; before and after, it stands still."""
    if time <= times[0] or time >= times[-1]:
        return positions[0 if time <= times[0] else -1], np.zeros(positions.shape[1])
    i = np.searchsorted(times, time, side="right") - 1
    part = slice(i, i + 2)
    u = (time - times[i]) / (times[i + 1] - times[i])
    fine = in_between(times[part], positions[part], velocities[part], 1001)
    return fine[0][0, round(u * 1000)], fine[1][0, round(u * 1000)]
