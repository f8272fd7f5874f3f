"""Planning times of a joint-level arm."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from vima_ros.arm.kinematics import ArmModel
from vima_ros.arm.primitives import plan_waypoints
from vima_ros.arm.time_parameterization import JointLimits
from vima_ros.arm.trajectory_planning import plan_trajectory
from vima_ros.geometry import Pose, Transform, Workspace, quaternion_from_yaw
from vima_ros.policy_frame import VIMA_WORKSPACE
from vima_ros.specs import Primitive


def planning_times(
    urdf: Path,
    table: Transform,
    count: int = 60,
    seed: int = 0,
    workspace: Workspace = VIMA_WORKSPACE,
) -> list[float]:
    """Measure planning times of ``count`` random primitives in the workspace, in sequence [s].

    ``table``: its pose in base_link. Raises VimaError as ``ArmModel.from_urdf`` and
    ``plan_trajectory``.
    """
    model = ArmModel.from_urdf(urdf, table=table)
    rng, joints, times = np.random.default_rng(seed), model.home, []
    for _ in range(count):
        places = rng.uniform(workspace.low, workspace.high, (2, 2))
        poses = [
            Pose(np.append(place, 0.0), quaternion_from_yaw(rng.uniform(-np.pi, np.pi)))
            for place in places
        ]
        primitive = Primitive(int(rng.integers(len(Primitive))))
        waypoints = plan_waypoints(primitive, poses[0], poses[1], workspace)
        began = time.perf_counter()
        plan = plan_trajectory(waypoints, joints, model, JointLimits())
        times.append(time.perf_counter() - began)
        joints = plan.segments[-1].positions[-1]
    return times
