"""Poses, rigid transforms, quaternions and the workspace. Metres, radians, xyzw (REP 103)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from vima_ros.errors import VimaError


def yaw_from_quaternion(quaternion_xyzw: np.ndarray) -> float:
    """Return the rotation about +z nearest to a quaternion (swing-twist) [rad], in (-pi, pi].

    The quaternion (4,) need not be of unit length.

    Raises VimaError (NOT_FINITE) for a quaternion without a yaw: not finite, of zero length, or a
    half turn about a horizontal axis.
    """
    q = np.asarray(quaternion_xyzw, dtype=np.float64)
    if q.shape != (4,) or not np.isfinite(q).all() or math.hypot(q[2], q[3]) < 1e-6:
        raise VimaError(
            "NOT_FINITE",
            f"quaternion xyzw {q.tolist()} has no yaw; "
            "valid: four finite numbers, z and w not both 0",
        )
    return _wrap(2.0 * math.atan2(q[2], q[3]))


def quaternion_from_yaw(yaw: float) -> np.ndarray:
    """Return the unit quaternion xyzw (4,) of a rotation by ``yaw`` [rad] about +z."""
    return np.array([0.0, 0.0, math.sin(yaw / 2.0), math.cos(yaw / 2.0)])


def rotation_2d(angle: float) -> np.ndarray:
    """Return the matrix (2, 2) of a rotation by ``angle`` [rad] in the plane."""
    sine, cosine = math.sin(angle), math.cos(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def _wrap(angle: float) -> float:
    """Return the same angle in (-pi, pi] [rad]."""
    wrapped = math.remainder(angle, 2.0 * math.pi)
    return math.pi if wrapped == -math.pi else wrapped


@dataclass(frozen=True, eq=False)
class Pose:
    """Pose: ``position`` (3,) float64 [m] and ``quaternion`` (4,) float64 xyzw, in any frame.

    The quaternion is kept as given: the policy's is neither exact nor of unit length.
    """

    position: np.ndarray
    quaternion: np.ndarray

    def __post_init__(self) -> None:
        for name, size in (("position", 3), ("quaternion", 4)):
            value = np.array(getattr(self, name), dtype=np.float64)
            if value.shape != (size,):
                raise VimaError(
                    "INVALID_VALUE", f"Pose.{name} has shape {value.shape}; valid: ({size},)"
                )
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    @property
    def is_finite(self) -> bool:
        """True if all seven numbers are finite."""
        return bool(np.isfinite(self.position).all() and np.isfinite(self.quaternion).all())


@dataclass(frozen=True, eq=False)
class Transform:
    """Rigid transform; as the pose of a frame B in a frame A it takes coordinates in B to A.

    ``translation`` (3,) float64 [m]: B's origin in A. ``quaternion`` (4,) float64 xyzw, of unit
    length: B's rotation in A. The default is the identity. ``a_from_b @ b_from_c`` is a_from_c.

    Raises VimaError (INVALID_VALUE) for another shape, numbers that are not finite, or a
    quaternion that is not of unit length.
    """

    translation: np.ndarray = field(default_factory=lambda: np.zeros(3))
    quaternion: np.ndarray = field(default_factory=lambda: quaternion_from_yaw(0.0))

    def __post_init__(self) -> None:
        pose = Pose(self.translation, self.quaternion)
        if not (pose.is_finite and abs(np.linalg.norm(pose.quaternion) - 1.0) < 1e-6):
            raise VimaError(
                "INVALID_VALUE",
                f"transform by {pose.position.tolist()} m, quaternion xyzw "
                f"{pose.quaternion.tolist()}; valid: finite numbers, a quaternion of length 1",
            )
        object.__setattr__(self, "translation", pose.position)
        object.__setattr__(self, "quaternion", pose.quaternion)

    @classmethod
    def from_xyz_rpy(cls, xyz: Sequence[float], rpy: Sequence[float]) -> Transform:
        """Return the transform of a URDF origin: ``xyz`` (3,) [m], ``rpy`` (3,) [rad].

        Roll about x, then pitch about y, then yaw about z, all about the fixed axes of A.

        Raises VimaError (INVALID_VALUE) unless both are three finite numbers.
        """
        given = np.array([*xyz, *rpy], dtype=np.float64)
        if len(xyz) != 3 or len(rpy) != 3 or not np.isfinite(given).all():
            raise VimaError(
                "INVALID_VALUE",
                f"xyz {list(xyz)} m, rpy {list(rpy)} rad; valid: three finite numbers each",
            )
        (sr, sp, sy), (cr, cp, cy) = np.sin(given[3:] / 2.0), np.cos(given[3:] / 2.0)
        roll, pitch, yaw = (sr, 0.0, 0.0, cr), (0.0, sp, 0.0, cp), (0.0, 0.0, sy, cy)
        return cls(given[:3], _product(_product(yaw, pitch), roll))

    @property
    def rotation(self) -> np.ndarray:
        """Rotation matrix (3, 3): its columns are B's axes in A."""
        x, y, z, w = self.quaternion
        return np.array(
            [
                [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w)],
                [2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w)],
                [2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y)],
            ]
        )

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Return points (..., 3) [m], given in B, in A."""
        return np.asarray(points, dtype=np.float64) @ self.rotation.T + self.translation

    def apply_to_pose(self, pose: Pose) -> Pose:
        """Return a pose, given in B, in A; its quaternion keeps its length.

        Of a pose that is not finite the result is not finite either.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            return Pose(self.apply(pose.position), _product(self.quaternion, pose.quaternion))

    def inverse(self) -> Transform:
        """Return the transform from A to B."""
        inverse_rotation = Transform(quaternion=self.quaternion * (-1.0, -1.0, -1.0, 1.0))
        return Transform(-inverse_rotation.apply(self.translation), inverse_rotation.quaternion)

    def __matmul__(self, other: Transform) -> Transform:
        return Transform(
            self.apply(other.translation), _product(self.quaternion, other.quaternion)
        )


def _product(p: Iterable[float], q: Iterable[float]) -> np.ndarray:
    """Return the quaternion (4,) xyzw of the rotation by ``q``, then by ``p``."""
    (px, py, pz, pw), (qx, qy, qz, qw) = p, q
    return np.array(
        [
            pw * qx + px * qw + py * qz - pz * qy,
            pw * qy - px * qz + py * qw + pz * qx,
            pw * qz + px * qy - py * qx + pz * qw,
            pw * qw - px * qx - py * qy - pz * qz,
        ]
    )


@dataclass(frozen=True)
class Workspace:
    """Rectangle on the table that the policy's fractions span [m], table frame.

    The default is VIMA-Bench's: x in [0.25, 0.75], y in [-0.5, 0.5].
    """

    low: tuple[float, float] = field(default=(0.25, -0.5))
    high: tuple[float, float] = field(default=(0.75, 0.5))

    def __post_init__(self) -> None:
        low, high = np.asarray(self.low, float), np.asarray(self.high, float)
        if low.shape != (2,) or high.shape != (2,) or not (low < high).all():
            raise VimaError(
                "INVALID_VALUE",
                f"workspace low {self.low}, high {self.high}; "
                "valid: two numbers each [m], low < high",
            )
        object.__setattr__(self, "low", (float(low[0]), float(low[1])))
        object.__setattr__(self, "high", (float(high[0]), float(high[1])))

    @property
    def center(self) -> tuple[float, float]:
        """Center x, y [m]."""
        return (self.low[0] + self.high[0]) / 2, (self.low[1] + self.high[1]) / 2

    @property
    def size(self) -> tuple[float, float]:
        """Extent along x and y [m]."""
        return self.high[0] - self.low[0], self.high[1] - self.low[1]

    def contains(self, x: float, y: float, tolerance: float = 1e-6) -> bool:
        """Return True if (x, y) [m] is inside, or at most ``tolerance`` [m] beyond the edge."""
        inside_x = self.low[0] - tolerance <= x <= self.high[0] + tolerance
        return inside_x and self.low[1] - tolerance <= y <= self.high[1] + tolerance

    def clamp(self, x: float, y: float) -> tuple[float, float]:
        """Return the point of the workspace nearest to (x, y) [m]."""
        return (
            min(max(x, self.low[0]), self.high[0]),
            min(max(y, self.low[1]), self.high[1]),
        )
