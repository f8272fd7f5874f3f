"""Parameters of the arm node."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

import numpy as np

from vima_ros.arm.primitives import MotionParameters
from vima_ros.arm.safety_gate import JointRange, Limits
from vima_ros.geometry import Workspace
from vima_ros.nodes.common.parameters import parameter


@dataclass(frozen=True)
class ArmParameters:
    """Read from config/arm.yaml. What limits motion is read once: nothing loosens it later."""

    base_frame: str = parameter(
        "frame of arm_command and of the tool pose a robot reports: base_link as the robot's own "
        "description has it",
        read_only=True,
    )
    table_frame: str = parameter(
        "frame of the workspace, of heights and of actions: the table plane, z up", read_only=True
    )
    table_xyz: list[float] = parameter(
        "origin of table_frame in base_frame: x, y, z [m]", read_only=True
    )
    table_rpy: list[float] = parameter(
        "rotation of table_frame in base_frame: roll, pitch, yaw about base_frame's fixed axes, "
        "in this order [rad]",
        read_only=True,
    )
    workspace_low: list[float] = parameter("x, y of the workspace, low corner [m]", read_only=True)
    workspace_high: list[float] = parameter("x, y of the workspace, high [m]", read_only=True)
    dry_run: bool = parameter("plan and report, but send nothing to the robot", read_only=True)
    confirm: bool = parameter("a person has to say yes to each motion", read_only=True)
    confirm_timeout: float = parameter(
        "a motion without a yes is refused after this [s]", low=0.1, high=3600, read_only=True
    )
    max_age: float = parameter("oldest usable observation [s]", low=0.05, high=60, read_only=True)
    sync_slop: float = parameter(
        "most between the stamps of its two views [s]", low=0.0, high=1.0, read_only=True
    )
    min_confidence: float = parameter(
        "least probability of each chosen bin; 0: not checked", low=0.0, high=1.0, read_only=True
    )
    max_speed: float = parameter("of the tool tip [m/s]", low=0.01, high=2, read_only=True)
    lowest: float = parameter(
        "the tool tip may be, in z of table_frame [m]", low=-1, high=1, read_only=True
    )
    highest: float = parameter(
        "the tool tip may be, in z of table_frame [m]", low=0, high=3, read_only=True
    )
    max_reach: float = parameter(
        "of the tool tip from base_frame's origin, for a robot without urdf; 0: not checked [m]",
        low=0,
        high=10,
        read_only=True,
    )
    arrival_tolerance: float = parameter(
        "a robot that says done has its tool this near to the motion's end; 0: not checked [m]",
        low=0,
        high=1,
        read_only=True,
    )
    progress_timeout: float = parameter(
        "time without progress (a joint by 1 mrad; else the tool, where its pose is known, by "
        "1 mm) after which a motion ends with TIMEOUT and the arm is stopped; 0: none. In all, a "
        "motion may take 20 times its planned duration, at least 10 s [s]",
        low=0,
        high=600,
        read_only=True,
    )
    manager_timeout: float = parameter(
        "stop when the manager, or while moving the policy node, is silent this long, once heard; "
        "0: never [s]",
        low=0,
        high=60,
        read_only=True,
    )
    start_timeout: float = parameter(
        "time within which a robot without urdf has to report its command as EXECUTING, and with "
        "urdf a joint has to move by 1 mrad after each trajectory; else the motion ends with "
        "NOT_STARTED; 0: not checked [s]",
        low=0,
        high=60,
        read_only=True,
    )
    state_timeout: float = parameter(
        "time without arm_state or usable joint_states in mid-motion after which the arm is "
        "stopped; per robot: longer than a driver is silent while it moves; 0: not checked [s]",
        low=0,
        high=60,
        read_only=True,
    )
    travel_height: float = parameter("tool tip, pick and place, in the air [m]", low=0.02, high=2)
    contact_height: float = parameter("lowest tool tip, pick and place [m]", low=0, high=1)
    sweep_travel_height: float = parameter("tool tip, sweep, in the air [m]", low=0.02, high=2)
    sweep_height: float = parameter("tool tip while sweeping [m]", low=0, high=1)
    sweep_run_up: float = parameter("start of a sweep before pose0 [m]", low=0, high=0.2)
    sweep_stop_short: float = parameter("end of a sweep before pose1 [m]", low=0, high=0.2)
    travel_speed: float = parameter("tool tip in the air [m/s]", low=0.01, high=2)
    approach_speed: float = parameter("tool tip towards contact [m/s]", low=0.01, high=1)
    sweep_speed: float = parameter("tool tip while sweeping [m/s]", low=0.01, high=1)
    grip_time: float = parameter("wait for suction to build up or fade [s]", low=0, high=10)
    urdf: str = parameter(
        "the arm: a URDF in config/robots, or a path, with a link of base_frame's name; empty: "
        "waypoints only, the robot itself finds its joints (vima_msgs, README.md)",
        read_only=True,
        path=True,
    )
    tip_frame: str = parameter("frame of the URDF that holds the tool", read_only=True)
    tool_length: float = parameter(
        "from tip_frame's origin to the tip, along its z [m]", low=0, high=1, read_only=True
    )
    home_joints: list[float] = parameter(
        "posture whose branch (elbow up) all others keep, tool down, from base_frame on [rad]",
        read_only=True,
    )
    joint_acceleration: float = parameter(
        "most of each joint [rad/s^2]; speeds are in the URDF", low=0.1, high=40, read_only=True
    )

    def limits(self, joints: JointRange | None, base_position: np.ndarray) -> Limits:
        """What the gate allows; ``joints`` where the arm is known.

        ``base_position`` (3,): origin of base_frame in table_frame [m].
        """
        names = set(Limits.__dataclass_fields__) - {"workspace", "base_position", "joints"}
        return Limits(
            workspace=Workspace(tuple(self.workspace_low), tuple(self.workspace_high)),
            base_position=tuple(base_position.tolist()),
            joints=joints,
            **{name: getattr(self, name) for name in names},
        )

    def describe_limits(self, limits: Limits) -> str:
        """Each limit with its unit, what confirms a motion, the arm's URDF, the table's pose."""
        units = {f.name: re.findall(r"\[(.*?)\]", f.metadata["description"]) for f in fields(self)}
        space = limits.workspace
        words = [
            f"workspace x {space.low[0]:g} to {space.high[0]:g}, "
            f"y {space.low[1]:g} to {space.high[1]:g} m"
        ]
        values = {**limits.told(), "confirm": self.confirm}
        for name in set(units) & set(values):
            value = values[name]
            text = str(value).lower() if isinstance(value, bool) else f"{value:g}"
            words.append(" ".join([name, text, *units[name][-1:]]))
        joints = f"joints as in {self.urdf}" if self.urdf else "joints unknown (no urdf)"
        xyz, rpy = (", ".join(f"{x:g}" for x in v) for v in (self.table_xyz, self.table_rpy))
        where = f"{self.table_frame} in {self.base_frame} at ({xyz}) m, turned by ({rpy}) rad"
        return ", ".join([words[0], *sorted(words[1:]), joints, where])

    def motion(self) -> MotionParameters:
        """The motion's shape as it is set now."""
        names = MotionParameters.__dataclass_fields__
        return MotionParameters(**{name: getattr(self, name) for name in names})
