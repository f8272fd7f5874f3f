"""Parameters of the tabletop node."""

from __future__ import annotations

from dataclasses import dataclass

from vima_ros.nodes.common.cell_parameters import CellParameters
from vima_ros.nodes.common.parameters import parameter
from vima_ros.sim.scene import MAX_SEED, SCENE_NAMES
from vima_ros.sim.tasks import TASKS
from vima_ros.sim.tasks.base import Level


@dataclass(frozen=True)
class TabletopParameters(CellParameters):
    """Parameters of the tabletop node, with their values in config/tabletop.yaml."""

    robot: str = parameter(
        "Simulated robot: free_gripper executes arm_command; ur5e, an arm, executes "
        "joint_trajectory (it needs the arm node's parameter urdf)",
        choices=("free_gripper", "ur5e"),
        read_only=True,
    )
    task: str = parameter(
        "Name of a VIMA-Bench task, with prompt and success criterion; empty: none, only a "
        "scene. A change resets the simulation",
        choices=("", *TASKS),
    )
    level: str = parameter(
        "Level of the task; empty: its first. A change resets the simulation",
        choices=("", *(level.value for level in Level)),
    )
    scene: str = parameter(
        "Scene on the table without a task. A change resets the simulation",
        choices=SCENE_NAMES,
    )
    seed: int = parameter(
        "Seed of the task's episode, or of the layout without a task (0: the layout of the "
        "scene). A change resets the simulation",
        low=0,
        high=MAX_SEED,
    )
    send_prompt: bool = parameter(
        "Publication of the task's prompt for the prompt node after each reset"
    )
    prompt_masks: bool = parameter(
        "True masks beside the images of the task's prompt, for cells whose perception has the "
        "detector ground_truth_masks; false: the prompt node's detectors find the objects"
    )
    camera_rate: float = parameter(
        "Image rate of both cameras [Hz]", low=0.1, high=30, read_only=True
    )
    real_time_factor: float = parameter(
        "Simulated seconds per second of the node's clock", low=0.05, high=20
    )
