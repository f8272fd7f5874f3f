"""The goal and the judge of the sweep tasks: a zone to sweep blocks into, a line not to touch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vima_ros.geometry import Pose, Workspace
from vima_ros.sim.model.shapes import SHAPES
from vima_ros.sim.tasks.base import (
    SuccessCriterion,
    TaskEpisode,
    TaskOutcome,
    TaskResult,
    WorldState,
)
from vima_ros.sim.tasks.grasp_points import heading

BLOCK = SHAPES["small_block"].size[0]  # side [m]


@dataclass(frozen=True)
class Rectangle:
    """Along the table frame's axes: (x, y) of two corners [m]."""

    low: tuple[float, float]
    high: tuple[float, float]

    @staticmethod
    def around(centre: tuple[float, float], size: tuple[float, float]) -> Rectangle:
        """By its centre and its extent in x and y."""
        (x, y), (dx, dy) = centre, size
        return Rectangle((x - dx / 2, y - dy / 2), (x + dx / 2, y + dy / 2))

    def contains(self, corners: np.ndarray) -> bool:
        """Whether all points (n, 2) are inside."""
        return bool(((corners >= self.low) & (corners <= self.high)).all())

    def overlaps(self, corners: np.ndarray) -> bool:
        """Whether a square with these corners (4, 2), in order, and the rectangle meet.

        Two convex shapes are apart when some side of one has the other beyond it.
        """
        (x0, y0), (x1, y1) = self.low, self.high
        own = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        for axis in (*np.eye(2), corners[1] - corners[0], corners[2] - corners[1]):
            ours, others = own @ axis, corners @ axis
            if ours.max() < others.min() or others.max() < ours.min():
                return False
        return True


@dataclass(frozen=True)
class SweepGoal:
    """``count`` of the ``swept`` blocks have to lie wholly in ``zone``, no more.

    No block may touch ``line``, no part of a distractor may be in ``inside``: the part of the zone
    that the drawn three-sided rectangle spans. ``target``: where the oracle sweeps to, between
    its bars.
    """

    swept: tuple[str, ...]
    distractors: tuple[str, ...]
    count: int
    zone: Rectangle
    inside: Rectangle
    target: Rectangle
    line: Rectangle


class SweepCriterion(SuccessCriterion):
    """Judges a SweepGoal; what touched the line once has failed, so ``watch`` matters."""

    def __init__(self, episode: TaskEpisode) -> None:
        super().__init__()
        self._goal: SweepGoal = episode.goal
        self._touched = ""

    def monitor(self, world: WorldState) -> None:
        """Remember the first block that touches the line."""
        for name in self._goal.swept + self._goal.distractors:
            if self._goal.line.overlaps(block_corners(world.poses[name])):
                self._touched = self._touched or name

    def _evaluate(self, world: WorldState) -> TaskResult:
        self.monitor(world)
        if self._touched:
            return TaskResult(TaskOutcome.FAILURE, f"{self._touched} touched the line")
        workspace = Workspace()
        for name in self._goal.swept:
            x, y = world.poses[name].position[:2]
            if not workspace.contains(x, y):
                return TaskResult(TaskOutcome.FAILURE, f"{name} has left the workspace")
        for name in self._goal.distractors:
            if self._goal.inside.overlaps(block_corners(world.poses[name])):
                return TaskResult(TaskOutcome.FAILURE, f"{name} is in the zone")
        count = len(in_zone(self._goal, world))
        if count > self._goal.count:
            return TaskResult(
                TaskOutcome.FAILURE, f"{count} blocks in the zone, not {self._goal.count}"
            )
        done = count == self._goal.count
        return TaskResult(
            TaskOutcome.SUCCESS if done else TaskOutcome.RUNNING,
            f"{count} of {self._goal.count} blocks",
        )


def in_zone(goal: SweepGoal, world: WorldState) -> tuple[str, ...]:
    """The swept blocks that lie wholly in the zone."""
    return tuple(
        name for name in goal.swept if goal.zone.contains(block_corners(world.poses[name]))
    )


def block_corners(pose: Pose) -> np.ndarray:
    """(4, 2) of a block seen from above [m], in order."""
    yaw, half = heading(pose), BLOCK / 2
    along = half * np.array([math.cos(yaw), math.sin(yaw)])
    across = np.array([-along[1], along[0]])
    corners = np.array([along + across, across - along, -along - across, along - across])
    return pose.position[:2] + corners
