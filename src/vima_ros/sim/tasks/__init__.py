"""The seventeen tasks of VIMA-Bench: scenes, prompts, success criteria and oracles."""

from __future__ import annotations

from vima_ros.errors import VimaError
from vima_ros.sim.tasks.base import Task
from vima_ros.sim.tasks.follow_motion import FollowMotion
from vima_ros.sim.tasks.follow_order import FollowOrder
from vima_ros.sim.tasks.manipulate_old_neighbor import ManipulateOldNeighbor
from vima_ros.sim.tasks.novel_adj import NovelAdj
from vima_ros.sim.tasks.novel_adj_and_noun import NovelAdjAndNoun
from vima_ros.sim.tasks.novel_noun import NovelNoun
from vima_ros.sim.tasks.pick_in_order_then_restore import PickInOrderThenRestore
from vima_ros.sim.tasks.rearrange import Rearrange, RearrangeThenRestore
from vima_ros.sim.tasks.rotate import Rotate
from vima_ros.sim.tasks.same_property import SameShape, SameTexture
from vima_ros.sim.tasks.scene_understanding import SceneUnderstanding
from vima_ros.sim.tasks.sweep import SweepWithoutExceeding, SweepWithoutTouching
from vima_ros.sim.tasks.twist import Twist
from vima_ros.sim.tasks.visual_manipulation import VisualManipulation

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        VisualManipulation(),
        SceneUnderstanding(),
        Rotate(),
        Rearrange(),
        RearrangeThenRestore(),
        NovelAdj(),
        NovelNoun(),
        NovelAdjAndNoun(),
        Twist(),
        FollowMotion(),
        FollowOrder(),
        SweepWithoutExceeding(),
        SweepWithoutTouching(),
        SameTexture(),
        SameShape(),
        ManipulateOldNeighbor(),
        PickInOrderThenRestore(),
    )
}


def find_task(name: str) -> Task:
    """Return the task of that name. Raises VimaError (UNKNOWN_TASK)."""
    if name not in TASKS:
        raise VimaError("UNKNOWN_TASK", f"no task {name!r}; valid: {', '.join(TASKS)}")
    return TASKS[name]
