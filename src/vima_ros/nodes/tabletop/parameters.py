"""Parameters of the tabletop node."""

from __future__ import annotations

from dataclasses import dataclass

from vima_ros.nodes.common.parameters import parameter
from vima_ros.sim.scene import MAX_SEED, SCENE_NAMES
from vima_ros.sim.tasks import TASKS
from vima_ros.sim.tasks.base import Level


@dataclass(frozen=True)
class TabletopParameters:
    """Read from config/tabletop.yaml."""

    robot: str = parameter(
        "tool: a flying one that obeys arm_command; ur5e: an arm that obeys joint_trajectory "
        "(the arm node's urdf must say so too)",
        choices=("free_gripper", "ur5e"),
        read_only=True,
    )
    task: str = parameter(
        "of VIMA-Bench, with prompt and judge; empty: none, only a scene; a change resets the "
        "world",
        choices=("", *TASKS),
    )
    level: str = parameter(
        "of the task; empty: its first; a change resets the world",
        choices=("", *(level.value for level in Level)),
    )
    scene: str = parameter(
        "what stands on the table without a task; a change resets the world",
        choices=SCENE_NAMES,
    )
    seed: int = parameter(
        "of the task's episode. Without a task 0: places as the scene states them; else scattered "
        "by this seed. A change resets the world",
        low=0,
        high=MAX_SEED,
    )
    send_prompt: bool = parameter("give the task's prompt to the prompt node when it is set up")
    rate: float = parameter("pictures of both cameras [Hz]", low=0.1, high=30, read_only=True)
    real_time_factor: float = parameter(
        "simulated seconds a second of the node's clock", low=0.05, high=20
    )
    base_frame: str = parameter(
        "frame of arm_command and of the tool pose reported; of an arm its URDF's base_link",
        read_only=True,
    )
    table_frame: str = parameter("frame of the simulated world and of markers", read_only=True)
    table_xyz: list[float] = parameter(
        "origin of table_frame in base_frame: x, y, z [m]; the same as the arm node's",
        read_only=True,
    )
    table_rpy: list[float] = parameter(
        "rotation of table_frame in base_frame: roll, pitch, yaw about base_frame's fixed axes, "
        "in this order [rad]; the same as the arm node's",
        read_only=True,
    )
