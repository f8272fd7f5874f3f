"""Parameters of the arm node."""

from __future__ import annotations

from dataclasses import dataclass

from vima_ros.arm.primitives import MotionParameters
from vima_ros.nodes.common.cell_parameters import CellParameters
from vima_ros.nodes.common.parameters import parameter


@dataclass(frozen=True)
class ArmParameters(CellParameters):
    """Parameters of the arm node; their values are in config/arm.yaml.

    All that limits motion is read-only: nothing loosens it while the node runs.
    """

    dry_run: bool = parameter(
        "True to plan and report motions without sending them to the robot", read_only=True
    )
    require_confirmation: bool = parameter(
        "True if a person has to confirm each motion before it begins", read_only=True
    )
    confirmation_timeout: float = parameter(
        "Time after which a motion that nobody confirmed is refused [s]",
        low=0.1,
        high=3600,
        read_only=True,
    )
    max_age: float = parameter(
        "Maximum age of the observation of an action [s]", low=0.05, high=60, read_only=True
    )
    sync_slop: float = parameter(
        "Maximum time between the stamps of an observation's two views [s]",
        low=0.0,
        high=1.0,
        read_only=True,
    )
    min_confidence: float = parameter(
        "Minimum probability of each bin of an action; 0: not checked",
        low=0.0,
        high=1.0,
        read_only=True,
    )
    max_speed: float = parameter(
        "Maximum speed of the tool tip [m/s]", low=0.01, high=2, read_only=True
    )
    min_tool_z: float = parameter(
        "Minimum z of the tool tip in table_frame [m]", low=-1, high=1, read_only=True
    )
    max_tool_z: float = parameter(
        "Maximum z of the tool tip in table_frame [m]", low=0, high=3, read_only=True
    )
    max_reach: float = parameter(
        "Maximum distance of the tool tip from base_frame's origin, for a robot without urdf; "
        "0: not checked [m]",
        low=0,
        high=10,
        read_only=True,
    )
    arrival_tolerance: float = parameter(
        "Maximum distance of the tool from the end of its motion when the robot reports success; "
        "0: not checked [m]",
        low=0,
        high=1,
        read_only=True,
    )
    progress_timeout: float = parameter(
        "Time without progress (a joint by 1 mrad; else the tool, where its pose is known, by "
        "1 mm) after which a motion ends with TIMEOUT and the arm is stopped; 0: none. In all, a "
        "motion may take 20 times its planned duration, at least 10 s [s]",
        low=0,
        high=600,
        read_only=True,
    )
    manager_timeout: float = parameter(
        "Silence of the manager node (in mid-motion also of the policy node), once received, "
        "after which the arm is stopped; 0: not checked [s]",
        low=0,
        high=60,
        read_only=True,
    )
    start_timeout: float = parameter(
        "Time within which a robot without urdf has to report its command as EXECUTING, and with "
        "urdf a joint has to move by 1 mrad after each trajectory; else the motion ends with "
        "NOT_STARTED; 0: not checked [s]",
        low=0,
        high=60,
        read_only=True,
    )
    state_timeout: float = parameter(
        "Time without arm_state or usable joint_states in mid-motion after which the arm is "
        "stopped; per robot: longer than a driver is silent while it moves; 0: not checked [s]",
        low=0,
        high=60,
        read_only=True,
    )
    travel_height: float = parameter(
        "Height of the tool tip while it travels in a pick and place [m]", low=0.02, high=2
    )
    contact_height: float = parameter(
        "Minimum height of the tool tip in a pick and place, where no contact ends its descent "
        "before [m]",
        low=0,
        high=1,
    )
    sweep_travel_height: float = parameter(
        "Height of the tool tip while it travels before and after a sweep [m]", low=0.02, high=2
    )
    sweep_height: float = parameter("Height of the tool tip in a sweep [m]", low=0, high=1)
    sweep_start_offset: float = parameter(
        "Distance behind pose0 at which a sweep starts [m]", low=0, high=0.2
    )
    sweep_end_offset: float = parameter(
        "Distance before pose1 at which a sweep ends [m]", low=0, high=0.2
    )
    travel_speed: float = parameter(
        "Speed of the tool tip while it travels [m/s]", low=0.01, high=2
    )
    approach_speed: float = parameter(
        "Speed of the tool tip while it descends [m/s]", low=0.01, high=1
    )
    sweep_speed: float = parameter("Speed of the tool tip in a sweep [m/s]", low=0.01, high=1)
    suction_dwell: float = parameter(
        "Time for which the tool waits for suction to build up or fade [s]", low=0, high=10
    )
    urdf: str = parameter(
        "URDF of the arm: a file in config/robots or a path, with a link of base_frame's name; "
        "empty: the arm node sends waypoints and the robot plans its joints (README.md)",
        read_only=True,
        path=True,
    )
    tip_frame: str = parameter("Frame of the URDF at which the tool is mounted", read_only=True)
    tool_length: float = parameter(
        "Distance from tip_frame's origin to the tool tip, along its z [m]",
        low=0,
        high=1,
        read_only=True,
    )
    home_joint_positions: list[float] = parameter(
        "Positions of the joints, from base_frame on, with the tool down: a posture whose branch "
        "(elbow up) all others keep [rad]",
        read_only=True,
    )
    max_joint_acceleration: float = parameter(
        "Maximum acceleration of each joint; maximum velocities are in the URDF [rad/s^2]",
        low=0.1,
        high=40,
        read_only=True,
    )

    def motion_parameters(self) -> MotionParameters:
        """Return the current parameters of the primitives."""
        names = MotionParameters.__dataclass_fields__
        return MotionParameters(**{name: getattr(self, name) for name in names})
