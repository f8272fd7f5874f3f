"""Placement tasks: goals, success criterion and oracle.

All tasks with the suction cup are placement tasks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from vima_ros.geometry import Pose, quaternion_from_yaw, rotation_2d
from vima_ros.sim.model.shapes import find_shape
from vima_ros.sim.scene import SceneObject
from vima_ros.sim.tasks.base import (
    Oracle,
    SuccessCriterion,
    Task,
    TaskEpisode,
    TaskEvaluation,
    TaskOutcome,
    WorldState,
)
from vima_ros.sim.tasks.grasp_points import grasp_point, heading
from vima_ros.sim.tasks.layout import XY, LayoutSampler, choose
from vima_ros.sim.tasks.splits import Split

TOLERANCE = 0.10  # of the position of an object [m]
YAW_TOLERANCE = math.radians(15)
_MIN_MOTION = 0.01  # an object that moves less has not been placed [m]
_EDGE = 0.1  # margin of that place at the edge of the workspace [m]
_CLEARANCE = 0.16  # of the place that a distractor is moved to [m]


class DistractorCheck(Enum):
    """Time at which a distractor on a goal place, or an object on a distractor, is a failure."""

    EVERY_ACTION = "every action"
    STAGE_END = "once all goals of a stage are reached"
    NEVER = "never"


@dataclass(frozen=True)
class PlaceGoal:
    """Goal position of an object, within ``tolerance`` [m].

    The oracle rotates the object to ``yaw`` [rad]. The criterion checks the yaw, up to the
    symmetry of the shape, only if there is a ``yaw_tolerance`` [rad].
    """

    object: str
    position_xy: XY
    yaw: float
    tolerance: float = TOLERANCE
    yaw_tolerance: float | None = None

    def near(self, pose: Pose) -> bool:
        """Return True if ``pose`` is within the tolerance of the position, at any yaw."""
        return math.dist(pose.position[:2], self.position_xy) <= self.tolerance

    def reached(self, world: WorldState) -> bool:
        """Return True if the object has reached the goal."""
        pose = world.poses[self.object]
        if self.yaw_tolerance is None or not self.near(pose):
            return self.near(pose)
        symmetry = find_shape(world.scene.object(self.object).shape).symmetry
        error = heading(pose) - self.yaw
        return symmetry == 0.0 or abs(math.remainder(error, symmetry)) <= self.yaw_tolerance


Stage = tuple[PlaceGoal, ...]


@dataclass(frozen=True)
class PlacementGoal:
    """Goals in ``stages``, reached one after the other; those of one stage in any order.

    ``no_stage_early``: reaching a goal of a later stage first is a failure. ``every_action``: an
    action that does not complete a stage is a failure.
    """

    stages: tuple[Stage, ...]
    distractors: tuple[str, ...] = ()
    check_distractors: DistractorCheck = DistractorCheck.EVERY_ACTION
    no_stage_early: bool = False
    every_action: bool = False

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of the objects with goals."""
        return tuple(dict.fromkeys(goal.object for stage in self.stages for goal in stage))


def base_and_dragged(
    layout: LayoutSampler, random: np.random.Generator, split: Split, dragged_name: str
) -> tuple[SceneObject, SceneObject]:
    """Place a base and an object to put into it, with shapes and textures of ``split``."""
    base = layout.place(
        "base_obj", choose(random, split.base_shapes), choose(random, split.base_textures)
    )
    dragged = layout.place(
        dragged_name, choose(random, split.dragged_shapes), choose(random, split.dragged_textures)
    )
    return base, dragged


def into(base: SceneObject, name: str, tolerance: float = TOLERANCE) -> PlaceGoal:
    """Return the goal of an object in a base, at the yaw of the base."""
    return PlaceGoal(name, base.position_xy, base.yaw, tolerance)


class PlacementCriterion(SuccessCriterion):
    """Success criterion of a PlacementGoal."""

    def __init__(self, episode: TaskEpisode) -> None:
        super().__init__()
        self._goal: PlacementGoal = episode.goal
        self._stage = 0
        self._last = WorldState.at_start(episode.scene)

    def _evaluate(self, world: WorldState) -> TaskEvaluation:
        stages, stage = self._goal.stages, self._goal.stages[self._stage]
        done = all(goal.reached(world) for goal in stage)
        reason = self._failure(world, stage, done)
        self._last = world
        if reason:
            return TaskEvaluation(TaskOutcome.FAILURE, reason)
        self._stage += done
        if self._stage == len(stages):
            return TaskEvaluation(TaskOutcome.SUCCESS)
        if self._goal.every_action and not done:
            return TaskEvaluation(
                TaskOutcome.FAILURE, f"the action did not place {stage[0].object}"
            )
        return TaskEvaluation(TaskOutcome.RUNNING, f"{self._stage} of {len(stages)} stages done")

    def _failure(self, world: WorldState, stage: Stage, done: bool) -> str:
        """Return the reason of a failure, or an empty text."""
        workspace = world.scene.workspace
        for name in self._goal.objects:
            x, y = world.poses[name].position[:2]
            if not workspace.contains(x, y):
                return f"{name} has left the workspace"
        if self._goal.no_stage_early:
            for goal in _flat(self._goal.stages[self._stage + 1 :]):
                now, before = goal.reached(world), goal.reached(self._last)
                if now and not before and goal not in stage:
                    return f"{goal.object} reached {goal.position_xy} too early"
        when = self._goal.check_distractors
        if when == DistractorCheck.EVERY_ACTION:
            return self._on_distractor(world, stage) or self._distractor_on_place(world, stage)
        if when == DistractorCheck.STAGE_END and done:
            return self._distractor_on_place(world, stage)
        return ""

    def _distractor_on_place(self, world: WorldState, stage: Stage) -> str:
        for name in self._goal.distractors:
            for goal in stage:
                if goal.near(world.poses[name]):
                    return f"{name} is on the place of {goal.object}"
        return ""

    def _on_distractor(self, world: WorldState, stage: Stage) -> str:
        """Return the reason if an object was put on a distractor instead of its goal."""
        for goal in stage:
            now, before = (state.poses[goal.object].position[:2] for state in (world, self._last))
            if goal.reached(world) or math.dist(now, before) < _MIN_MOTION:
                continue
            for name in self._goal.distractors:
                if math.dist(now, world.poses[name].position[:2]) <= goal.tolerance:
                    return f"{goal.object} was put on {name}"
        return ""


class PlacementOracle(Oracle):
    """Oracle that places the first object without its goal, after moving distractors aside.

    ``seed`` None: the object nearest to the robot's base, picked at the centre of its bounding box
    and rotated only if the goal requires it.
    """

    def __init__(self, episode: TaskEpisode, seed: int | None = 0) -> None:
        self._goal: PlacementGoal = episode.goal
        self._random = None if seed is None else np.random.default_rng([episode.seed, seed])
        self._stage = 0

    def act(self, world: WorldState) -> tuple[Pose, Pose] | None:
        """Return the next pick and place, or None after all stages."""
        stages = self._goal.stages
        while self._stage < len(stages) and all(
            goal.reached(world) for goal in stages[self._stage]
        ):
            self._stage += 1
        if self._stage == len(stages):
            return None
        stage = stages[self._stage]
        distractor = self._blocking_distractor(world, stage)
        if distractor is not None:
            place = self._free_place(world, stage)
            return pick_and_place(
                world, distractor, place, heading(world.poses[distractor]), self._random
            )
        goals = [goal for goal in stage if not goal.reached(world)]
        if self._random is not None:
            goal, yaw = goals[0], goals[0].yaw
        else:
            goal = min(goals, key=lambda g: np.linalg.norm(world.poses[g.object].position[:2]))
            rotated = goal.yaw_tolerance is not None
            yaw = goal.yaw if rotated else heading(world.poses[goal.object])
        return pick_and_place(world, goal.object, goal.position_xy, yaw, self._random)

    def _blocking_distractor(self, world: WorldState, stage: Stage) -> str | None:
        """Return the name of a movable distractor on a goal place, or None."""
        for name in self._goal.distractors:
            if world.scene.object(name).scaled_shape.movable and any(
                goal.near(world.poses[name]) for goal in stage
            ):
                return name
        return None

    def _free_place(self, world: WorldState, stage: Stage) -> XY:
        """Return a place far from all objects and goals, or as far as possible."""
        taken = [pose.position[:2] for pose in world.poses.values()]
        taken += [np.array(goal.position_xy) for goal in _flat(self._goal.stages)]
        workspace = world.scene.workspace
        low, high = np.array(workspace.low) + _EDGE, np.array(workspace.high) - _EDGE
        random = self._random or np.random.default_rng(0)
        places = random.uniform(low, high, (200, 2))
        distances = np.linalg.norm(places[:, None] - np.array(taken), axis=-1).min(axis=1)
        free = np.flatnonzero(distances > _CLEARANCE)
        x, y = places[free[0] if len(free) else int(distances.argmax())]
        return float(x), float(y)


def pick_and_place(
    world: WorldState, name: str, place: XY, yaw: float, random: np.random.Generator | None
) -> tuple[Pose, Pose]:
    """Return the action that brings an object to ``place`` with ``yaw``, picked at yaw 0.

    The object is carried rigidly, so the tool ends at goal pose x inverse (object in the pick
    frame).
    """
    pose = world.poses[name]
    shape, workspace = world.scene.object(name).scaled_shape, world.scene.workspace
    pick = grasp_point(shape, pose, workspace, random)
    turn = math.remainder(yaw - heading(pose), 2.0 * math.pi)
    turned = rotation_2d(turn) @ (pose.position[:2] - pick)
    release = workspace.clamp(*(np.array(place) - turned))
    return (
        Pose(np.append(pick, 0.0), quaternion_from_yaw(0.0)),
        Pose(np.append(release, 0.0), quaternion_from_yaw(turn)),
    )


def _flat(stages: Iterable[Stage]) -> Iterable[PlaceGoal]:
    return (goal for stage in stages for goal in stage)


class PlacementTask(Task):
    """Task whose goal is a PlacementGoal."""

    def success_criterion(self, episode: TaskEpisode) -> PlacementCriterion:
        """Create the success criterion."""
        return PlacementCriterion(episode)

    def oracle(self, episode: TaskEpisode, seed: int | None = 0) -> PlacementOracle:
        """Create an oracle."""
        return PlacementOracle(episode, seed)
