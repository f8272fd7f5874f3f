"""The UR5e as we ship it, and written down a second time without Pinocchio and URDF."""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from vima_ros.geometry import Transform

URDF = Path(__file__).parents[3] / "config" / "robots" / "ur5e.urdf"

# "DH Parameters for calculations of kinematics and dynamics", Universal Robots: a, d, alpha of
# each joint [m, m, rad], mass [kg] and centre of mass [m] of each link in its DH frame.
A = (0.0, -0.425, -0.3922, 0.0, 0.0, 0.0)
D = (0.1625, 0.0, 0.0, 0.1333, 0.0997, 0.0996)
ALPHA = (math.pi / 2, 0.0, 0.0, math.pi / 2, -math.pi / 2, 0.0)
MASS = (3.761, 8.058, 2.846, 1.37, 1.3, 0.365)
CENTRE = (
    (0, -0.02561, 0.00193),
    (0.2125, 0, 0.11336),
    (0.15, 0, 0.0265),
    (0, -0.0018, 0.01634),
    (0, 0.0018, 0.01634),
    (0, 0, -0.001159),
)
PEDESTAL, TOOL = 0.22, 0.12  # [m]
TABLE = Transform.from_xyz_rpy((0.0, 0.0, -PEDESTAL), (0.0, 0.0, 0.0))  # in base_link


@cache
def load():
    """The arm under test, on its pedestal; skips where Pinocchio is not installed."""
    pytest.importorskip("pinocchio", reason="the joint-level arm needs pip install pin")
    from vima_ros.arm.kinematics import ArmModel

    return ArmModel.from_urdf(URDF, table=TABLE)


def dh_frames(joints):
    """Poses (4, 4) of the six DH frames in base_link.

    They start from ur_description's `base`, which is base_link turned by half a turn about z. The
    sixth is ur_description's `tool0`: on the flange, z out of it (its `flange` has x out of it).
    """
    pose = np.diag([-1.0, -1.0, 1.0, 1.0])
    frames = []
    for q, a, d, alpha in zip(joints, A, D, ALPHA, strict=True):
        c, s, ca, sa = math.cos(q), math.sin(q), math.cos(alpha), math.sin(alpha)
        pose = pose @ np.array(
            [
                [c, -s * ca, s * sa, a * c],
                [s, c * ca, -c * sa, a * s],
                [0, sa, ca, d],
                [0, 0, 0, 1],
            ]
        )
        frames.append(pose)
    return frames


def tip(joints):
    """Pose (4, 4) of the tool tip in the table frame."""
    pose = dh_frames(joints)[-1].copy()
    pose[:3, 3] += TOOL * pose[:3, 2]
    pose[2, 3] += PEDESTAL
    return pose


def elbow_up(x, y, z, yaw):
    """Joints (6,) for the tip at (x, y, z) of the table, tool down, or None beyond reach.

    With the tool down the wrist joints 4 and 5 are fixed by the others, joint 1 turns the arm's
    plane 0.1333 m beside its axis, and joints 2 and 3 are two links in that plane.
    """
    beside = D[3]
    if math.hypot(x, y) <= beside:
        return None
    out = math.sqrt(x * x + y * y - beside**2) - D[4]
    up = z + TOOL + D[5] - PEDESTAL - D[0]
    upper, fore = -A[1], -A[2]
    cosine = (out * out + up * up - upper**2 - fore**2) / (2 * upper * fore)
    if abs(cosine) > 1:
        return None
    elbow = math.acos(cosine)
    lift = -math.atan2(up, out) - math.atan2(fore * math.sin(elbow), upper + fore * cosine)
    pan = math.atan2(y, x) - math.asin(beside / math.hypot(x, y))
    down = -math.pi / 2
    return np.array([pan, lift, elbow, down - lift - elbow, down, pan - yaw + down])
