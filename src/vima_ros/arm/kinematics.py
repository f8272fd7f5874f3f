"""Forward and inverse kinematics of an arm from its URDF, by Pinocchio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vima_ros.arm.urdf import MESHES, ArmDescription, describe_arm
from vima_ros.errors import GateCode, VimaError
from vima_ros.geometry import Pose, Transform

# Tool straight down, upper arm up, forearm forward, wrist outward: the branch "elbow up" [rad]
UR5E_HOME = (0.0, -math.pi / 2, math.pi / 2, -math.pi / 2, -math.pi / 2, 0.0)
MIN_SINGULAR_VALUE = 0.02  # of the Jacobian: 0.02 m/s at the tip from 1 rad/s
_TABLE_CLEARANCE = 0.001  # below the table, of the plane that links may not reach [m]
_TOLERANCE = 1e-9  # of a solution, position [m] and rotation [rad] together
_MAX_ITERATIONS = 100
_MAX_STEP = 0.3  # of a joint in one iteration [rad]
_STEPS_FROM_HOME = 10  # IK follows the straight line from home, to stay on its branch


def unreachable(reason: str) -> VimaError:
    """Build a VimaError with the gate's code UNREACHABLE."""
    return VimaError(GateCode.UNREACHABLE.value, reason)


class ArmModel:
    """Kinematic model of an arm at a table. The URDF may have any root.

    Joints are arrays (n,) [rad] in the order of ``joint_names``; those of ``continuous`` have no
    limits. ``warnings``: sentences on what of the arm is not checked. A pose is that of the tool
    tip in the table frame, whose plane z = 0 the arm keeps above; its quaternion is the rotation
    of the tool from pointing straight down with its x axis along the table's, as in
    ``primitives.Waypoint``. Not thread-safe.
    """

    def __init__(
        self,
        model: Any,
        geometry: Any,
        tip: int,
        home: Sequence[float],
        table: Any,
        description: ArmDescription,
    ) -> None:
        """Wrap Pinocchio's ``model`` and ``geometry`` as built by ``from_urdf``.

        ``tip``: frame index of the tool tip. ``table``: placement of the table in the root.
        """
        self._pin, self._table_from_root = _pinocchio(), table.inverse()
        self._model, self._data, self._tip = model, model.createData(), tip
        self.joint_names = tuple(model.names)[1:]
        unlimited = np.isin(self.joint_names, list(description.continuous))
        self.lower = np.where(unlimited, -np.inf, model.lowerPositionLimit)
        self.upper = np.where(unlimited, np.inf, model.upperPositionLimit)
        self.max_velocity = model.velocityLimit
        self.continuous, self.warnings = description.continuous, description.warnings
        self.home = np.array(home, dtype=np.float64)
        self._geometry, self._geometry_data = geometry, self._pin.GeometryData(geometry)
        self._down = self._pin.utils.rotate("x", math.pi)

    @classmethod
    def from_urdf(
        cls,
        path: Path | str,
        tip_frame: str = "tool_tip",
        home: Sequence[float] = UR5E_HOME,
        tool_length: float = 0.0,
        table: Transform | None = None,
        base_frame: str = "base_link",
    ) -> ArmModel:
        """Load an arm. The tip lies ``tool_length`` [m] along the z axis of ``tip_frame``.

        Joints that do not lie between ``base_frame`` and ``tip_frame`` are fixed at 0. ``home``:
        joints [rad] whose branch (elbow up, wrist out) all solutions keep to. ``table``: pose of
        the table in ``base_frame``, a link that no joint moves; None: they are the same.

        Raises VimaError: NOT_INSTALLED without Pinocchio, BAD_ROBOT for a file, frame or home that
        cannot be used.
        """
        pin, path = _pinocchio(), Path(path)
        description = describe_arm(path, tip_frame, base_frame)
        model, geometry = _build(pin, path, description.xml)
        names = tuple(model.names)[1:]
        if model.nq != len(home):
            raise VimaError(
                "BAD_ROBOT",
                f"home has {len(home)} joints, {path} {model.nq} between {base_frame} and "
                f"{tip_frame} ({', '.join(names)}); valid: one position per joint",
            )
        tip, base = model.getFrameId(tip_frame), model.frames[model.getFrameId(base_frame)]
        model.frames[tip].placement *= pin.SE3(np.eye(3), np.array([0.0, 0.0, tool_length]))
        table = table or Transform()
        in_root = base.placement * pin.SE3(table.rotation, table.translation)
        _add_collision_pairs(pin, model, geometry, np.array(home, dtype=np.float64), in_root)
        arm = cls(model, geometry, tip, home, in_root, description)
        try:
            arm.check_posture(arm.home)
        except VimaError as error:
            raise VimaError("BAD_ROBOT", f"home: {error}") from error
        return arm

    def tip_pose(self, joints: np.ndarray) -> Pose:
        """Forward kinematics: return the pose of the tool tip in the table frame."""
        placement = self._placement(joints)
        rotation = self._pin.Quaternion(placement.rotation @ self._down.T)
        return Pose(placement.translation, rotation.coeffs())

    def joint_velocities(self, joints: np.ndarray, twist: np.ndarray) -> np.ndarray:
        """Return velocities (n,) [rad/s] for a tip twist (6,) in the table frame [m/s, rad/s]."""
        jacobian = self._jacobian(joints, self._pin.LOCAL_WORLD_ALIGNED)  # along the root's axes
        in_root = (np.reshape(twist, (2, 3)) @ self._table_from_root.rotation).ravel()
        return np.linalg.lstsq(jacobian, in_root, rcond=None)[0]

    def tip_speed(self, joints: np.ndarray, velocities: np.ndarray) -> float:
        """Return the speed of the tip [m/s] at joint ``velocities`` (n,) [rad/s]."""
        jacobian = self._jacobian(joints, self._pin.LOCAL_WORLD_ALIGNED)
        return float(np.linalg.norm(jacobian[:3] @ velocities))

    def solve_ik_local(self, pose: Pose, seed: np.ndarray) -> np.ndarray:
        """Return joints that put the tip at ``pose``, on the branch of ``seed`` (n,) [rad].

        Damped least squares; the damping fades with the error (Sugihara, "Solvability-unconcerned
        inverse kinematics by the Levenberg-Marquardt method", IEEE T-RO 27(5), 2011). Raises
        VimaError (UNREACHABLE), which names the nearest point found.
        """
        return self._solve(self._goal(pose), seed)

    def solve_ik(self, pose: Pose, seed: np.ndarray) -> np.ndarray:
        """Return joints for ``pose`` on the branch of home, by whole turns nearest to ``seed``.

        But for whole turns, the result depends on the pose alone. Raises VimaError (UNREACHABLE)
        as ``solve_ik_local`` and ``check_posture`` do.
        """
        goal, start = self._goal(pose), self._placement(self.home).copy()
        translation = goal.translation - start.translation
        rotation_vector = self._pin.log3(start.rotation.T @ goal.rotation)
        joints = self.home
        for fraction in np.linspace(0.0, 1.0, _STEPS_FROM_HOME + 1)[1:-1]:
            rotation = start.rotation @ self._pin.exp3(fraction * rotation_vector)
            try:
                step = self._pin.SE3(rotation, start.translation + fraction * translation)
                joints = self._solve(step, joints)
            except VimaError:
                break  # the goal is then tried from the last solution
        joints = self._solve(goal, joints)
        turns = 2 * math.pi * np.round((seed - joints) / (2 * math.pi))
        inside = (joints + turns >= self.lower) & (joints + turns <= self.upper)
        joints = np.where(inside, joints + turns, joints)
        self.check_posture(joints)
        return joints

    def _goal(self, pose: Pose) -> Any:
        rotation = self._pin.Quaternion(pose.quaternion / np.linalg.norm(pose.quaternion))
        return self._pin.SE3(rotation.toRotationMatrix() @ self._down, pose.position)

    def _solve(self, goal: Any, seed: np.ndarray) -> np.ndarray:
        pin, joints = self._pin, np.array(seed, dtype=np.float64)
        for _ in range(_MAX_ITERATIONS):
            error = pin.log6(self._placement(joints).actInv(goal)).vector
            size = error @ error
            if size < _TOLERANCE**2:
                return joints
            jacobian = self._jacobian(joints, pin.LOCAL)
            damped = jacobian @ jacobian.T + (0.1 * size + 1e-12) * np.eye(6)
            step = jacobian.T @ np.linalg.solve(damped, error)
            joints += step * min(1.0, _MAX_STEP / np.abs(step).max())
        tip = self._placement(joints).translation
        raise unreachable(
            f"out of reach; the nearest pose found is {_at(tip)}, "
            f"{np.linalg.norm(tip - goal.translation):.3f} m away"
        )

    def check_posture(self, joints: np.ndarray) -> None:
        """Raise VimaError (UNREACHABLE) as ``check_valid`` does, and close to a singularity.

        There a slow tip needs fast joints, so a straight move must not lead through it.
        """
        self.check_valid(joints)
        smallest = np.linalg.svd(self._jacobian(joints, self._pin.LOCAL), compute_uv=False)[-1]
        if smallest < MIN_SINGULAR_VALUE:
            raise unreachable(
                f"too close to a singularity: smallest singular value {smallest:.3f}; "
                f"valid: {MIN_SINGULAR_VALUE} or more"
            )

    def check_valid(self, joints: np.ndarray) -> None:
        """Raise VimaError (UNREACHABLE) beyond a joint limit, in collision or below the table."""
        for name, lower, position, upper in zip(
            self.joint_names, self.lower, joints, self.upper, strict=True
        ):
            if not lower <= position <= upper:
                raise unreachable(
                    f"{name} at {position:.3f} rad; valid: {lower:.3f} to {upper:.3f}"
                )
        tip = self._placement(joints).translation
        if tip[2] < -1e-6:
            raise unreachable(f"the tip at {_at(tip)} is below the table; valid: z of 0 or more")
        self._check_collisions(joints)

    def _check_collisions(self, joints: np.ndarray) -> None:
        pin, geometry, collisions = self._pin, self._geometry, self._geometry_data
        pin.updateGeometryPlacements(self._model, self._data, geometry, collisions, joints)
        if not pin.computeCollisions(geometry, collisions, True):
            return
        for pair, result in zip(geometry.collisionPairs, collisions.collisionResults, strict=True):
            if result.isCollision():
                shapes = (geometry.geometryObjects[i].name for i in (pair.first, pair.second))
                link, other = (name.rsplit("_", 1)[0] for name in shapes)
                raise unreachable(f"{link} would collide with {other}")

    def _placement(self, joints: np.ndarray) -> Any:
        """Return the placement of the tip in the table frame."""
        self._pin.forwardKinematics(self._model, self._data, joints)
        in_root = self._pin.updateFramePlacement(self._model, self._data, self._tip)
        return self._table_from_root * in_root

    def _jacobian(self, joints: np.ndarray, reference: Any) -> np.ndarray:
        return self._pin.computeFrameJacobian(
            self._model, self._data, joints, self._tip, reference
        )


def _pinocchio() -> Any:
    try:
        import pinocchio
    except ModuleNotFoundError as error:
        raise VimaError(
            "NOT_INSTALLED",
            f"{error}; pip install pin, or install your ROS 2 distribution's pinocchio",
        ) from error
    return pinocchio


def _build(pin: Any, path: Path, xml: str) -> tuple[Any, Any]:
    """Build Pinocchio's model and collision geometry; finds meshes beside the URDF too."""
    folders = [str(folder) for folder in path.resolve().parents]
    try:
        model = pin.buildModelFromXML(xml)
        return model, pin.buildGeomFromUrdfString(model, xml, pin.COLLISION, package_dirs=folders)
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        valid = MESHES if "esh" in reason else "a URDF file (the parser's reason stands above)"
        raise VimaError("BAD_ROBOT", f"{path}: {reason}; valid: {valid}") from error


def _box(width: float, depth: float, height: float) -> Any:
    """Build a box of Pinocchio's collision library (Coal, formerly hpp-fcl)."""
    try:
        import coal
    except ModuleNotFoundError:
        import hppfcl as coal
    return coal.Box(width, depth, height)


def _at(position: np.ndarray) -> str:
    return "({:.3f}, {:.3f}, {:.3f}) m in the table frame".format(*position)


def _add_collision_pairs(
    pin: Any, model: Any, geometry: Any, home: np.ndarray, table_placement: Any
) -> None:
    """Add collision pairs: each link and the table, and any two links that share no joint.

    Links that share a joint always touch, and some others do by design: those that touch at home
    are left out.
    """
    links = [(i, shape.parentJoint) for i, shape in enumerate(geometry.geometryObjects)]
    slab = pin.SE3(np.eye(3), np.array([0.0, 0.0, -0.5 - _TABLE_CLEARANCE]))
    table = geometry.addGeometryObject(
        pin.GeometryObject(
            name="the table_0",
            parent_joint=0,
            placement=table_placement * slab,
            collision_geometry=_box(10.0, 10.0, 1.0),
        )
    )
    pairs = [(i, table) for i, joint in links if joint > 1]
    pairs += [(i, j) for i, a in links for j, b in links if a - b >= 2]
    for pair in pairs:
        geometry.addCollisionPair(pin.CollisionPair(*pair))
    data, collisions = model.createData(), pin.GeometryData(geometry)
    pin.computeCollisions(model, data, geometry, collisions, home, False)
    at_home = [
        pair
        for pair, result in zip(geometry.collisionPairs, collisions.collisionResults, strict=True)
        if result.isCollision() and table not in (pair.first, pair.second)
    ]
    for pair in at_home:
        geometry.removeCollisionPair(pair)
