"""VIMA-Bench's recorded episodes as values of our tasks."""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vima_ros.geometry import Pose
from vima_ros.sim.model.shapes import SHAPES
from vima_ros.sim.model.textures import TEXTURES
from vima_ros.sim.scene import Scene, SceneObject
from vima_ros.sim.tasks import TASKS
from vima_ros.sim.tasks.base import WorldState
from vima_ros.sim.tasks.grasp_points import heading
from vima_ros.sim.tasks.placement import PlaceGoal
from vima_ros.sim.tasks.sweep_goal import SweepGoal

STEPS_IN_ORDER = (
    "follow_motion",
    "follow_order",
    "pick_in_order_then_restore",
)


@dataclass(frozen=True)
class Recording:
    """``poses`` (steps + 1, objects, 7), ``flags`` (steps, 3): done, success, failure."""

    path: Path
    facts: dict
    ids: tuple[int, ...]
    poses: np.ndarray
    flags: np.ndarray

    @staticmethod
    def read(path):
        arrays = np.load(path.with_suffix(".npz"))
        return Recording(
            path,
            json.loads(path.read_text()),
            tuple(int(k) for k in arrays["state_obj_ids"]),
            arrays["state_obj_pose"],
            arrays["step_done_success_failure"],
        )

    @property
    def task(self):
        return TASKS[self.facts["task"]]

    def scene(self):
        items = []
        for name, pose in self.pose_by_name(0).items():
            info = self.facts["obj_id_to_info"][name[4:]]
            x, y = pose.position[:2]
            look = shape_name(info["obj_name"]), texture_name(info["texture_name"])
            items.append(SceneObject(name, *look, (x, y), heading(pose)))
        return Scene(tuple(items), self.task.end_effector)

    def pose_by_name(self, step):
        rows = zip(self.ids, self.poses[step], strict=True)
        return {f"obj_{k}": Pose(row[:3], row[3:]) for k, row in rows}

    def world(self, step):
        return WorldState(self.pose_by_name(step), self.scene())

    def episode(self):
        sampled = self.task.sample(0)
        fill = self.sweep_goal if isinstance(sampled.goal, SweepGoal) else self.placement_goal
        scene, prompt = self.scene(), self.facts["prompt"]
        return replace(sampled, scene=scene, prompt=prompt, goal=fill(sampled.goal))

    def placement_goal(self, sampled):
        like = sampled.stages[0][0]
        tolerance = self.facts["pos_eps"]
        goals = []
        for goal in self.facts["goals"]:
            (x, y, _), quaternion = goal["targets"][0]
            yaw = heading(Pose(np.zeros(3), np.array(quaternion)))
            name = f"obj_{goal['objs'][0]}"
            if not goal["oracle_only"]:
                goals.append(PlaceGoal(name, (x, y), yaw, tolerance, like.yaw_tolerance))
        stages = (tuple(goals),)
        name = self.facts["task"]
        if name in STEPS_IN_ORDER:
            stages = tuple((goal,) for goal in goals)
        elif name == "manipulate_old_neighbor":
            stages = ((goals[0],), tuple(goals))
        elif name == "rearrange_then_restore":
            stages = tuple(goals[: len(goals) // 2]), tuple(goals[len(goals) // 2 :])
        moved = {goal.object for goal in goals}
        poses = self.pose_by_name(0)
        distractors = tuple(
            name
            for name in poses
            if name not in moved and not self.is_base(poses[name], name, goals)
        )
        return replace(sampled, stages=stages, distractors=distractors)

    def is_base(self, pose, name, goals):
        """Fixed, and somewhere an object has to go (a frame's own place is up to 1.5 cm off)."""
        fixed = self.facts["obj_id_to_info"][name[4:]]["category"] == "fixed"
        places = [goal.position_xy for goal in goals]
        return fixed and min(math.dist(pose.position[:2], place) for place in places) < 0.02

    def sweep_goal(self, sampled):
        line = next(item for item in self.scene().objects if item.shape.endswith("line"))
        swept = tuple(f"obj_{goal['objs'][0]}" for goal in self.facts["goals"])
        blocks = [item.name for item in self.scene().objects if item.shape == "small_block"]
        others = tuple(name for name in blocks if name not in swept)
        word = self.facts["prompt"].split()[1]
        count = {"any": 1, "one": 1, "two": 2, "three": 3, "all": len(swept)}[word]
        return self.task.make_goal(swept, others, count, line)


def recordings(folder, task, count):
    return [Recording.read(path) for path in sorted((folder / task).glob("*.json"))[:count]]


def shape_name(words):
    name = (
        words.lower()
        .replace("-shaped", "")
        .replace(" ", "_")
        .replace("three-sided", "three_sided")
    )
    assert name in SHAPES, name
    return name


def texture_name(words):
    name = words.replace(" ", "_").replace("gray", "grey")
    assert name in TEXTURES, name
    return name
