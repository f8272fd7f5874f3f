"""Parameters of the arm node."""

from __future__ import annotations

from dataclasses import dataclass

from vima_ros.nodes.parameters import parameter


@dataclass(frozen=True)
class ArmParameters:
    """Read from config/arm.yaml."""

    workspace_low: list[float] = parameter("x, y of the workspace, low corner [m]", read_only=True)
    workspace_high: list[float] = parameter("x, y of the workspace, high [m]", read_only=True)
    dry_run: bool = parameter("plan and report, but send nothing to the robot", read_only=True)
    max_age: float = parameter("oldest usable observation [s]", low=0.05, high=60, read_only=True)
    command_timeout: float = parameter(
        "wait for the robot's report of the motion's end [s]", low=1, high=600, read_only=True
    )
    manager_timeout: float = parameter(
        "stop when the manager is silent this long, once heard; 0: never [s]",
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
        "the arm: a URDF in config/robots, or a path; empty: waypoints only, the robot itself "
        "finds its joints (vima_msgs, README.md)",
        read_only=True,
    )
    tip_frame: str = parameter("frame of the URDF that holds the tool", read_only=True)
    tool_length: float = parameter(
        "from tip_frame's origin to the tip, along its z [m]", low=0, high=1, read_only=True
    )
    home_joints: list[float] = parameter(
        "posture whose branch (elbow up) all others keep, tool down, in the URDF's order [rad]",
        read_only=True,
    )
    joint_acceleration: float = parameter(
        "most of each joint [rad/s^2]; speeds are in the URDF", low=0.1, high=40, read_only=True
    )
