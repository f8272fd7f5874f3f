"""Goal and success criterion of the sweep tasks: a zone for blocks, a line not to touch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from vima_ros.geometry import Pose
from vima_ros.sim.model.shapes import SHAPES
from vima_ros.sim.tasks.base import (
    SuccessCriterion,
    TaskEpisode,
    TaskEvaluation,
    TaskOutcome,
    WorldState,
)
from vima_ros.sim.tasks.grasp_points import heading

BLOCK = SHAPES["small_block"].size[0]  # side [m]


@dataclass(frozen=True)
class Rectangle:
    """Rectangle along the axes of the table frame: (x, y) of two corners [m]."""

    low: tuple[float, float]
    high: tuple[float, float]

    @staticmethod
    def around(centre: tuple[float, float], size: tuple[float, float]) -> Rectangle:
        """Return the rectangle with a centre and an extent in x and y."""
        (x, y), (dx, dy) = centre, size
        return Rectangle((x - dx / 2, y - dy / 2), (x + dx / 2, y + dy / 2))

    def moved(self, shift: np.ndarray) -> Rectangle:
        """Return the rectangle moved by ``shift`` (2,) [m]."""
        (x0, y0), (x1, y1), (dx, dy) = self.low, self.high, shift.tolist()
        return Rectangle((x0 + dx, y0 + dy), (x1 + dx, y1 + dy))

    def contains(self, corners: np.ndarray) -> bool:
        """Return True if all points (n, 2) are inside."""
        return bool(((corners >= self.low) & (corners <= self.high)).all())

    def overlaps(self, corners: np.ndarray) -> bool:
        """Return True if a square with these corners (4, 2), in order, overlaps the rectangle.

        By the separating axis theorem.
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
    """Goal that exactly ``count`` of the ``swept`` blocks lie wholly in ``zone``.

    No block may touch ``line``, no part of a distractor may be in ``inside``, the part of the zone
    inside the drawn three-sided rectangle. ``target``: area between its bars to which the oracle
    sweeps.
    """

    swept: tuple[str, ...]
    distractors: tuple[str, ...]
    count: int
    zone: Rectangle
    inside: Rectangle
    target: Rectangle
    line: Rectangle

    def moved(self, shift: np.ndarray) -> SweepGoal:
        """Return the goal with its areas moved by ``shift`` (2,) [m]."""
        areas = {
            name: getattr(self, name).moved(shift) for name in ("zone", "inside", "target", "line")
        }
        return replace(self, **areas)


class SweepCriterion(SuccessCriterion):
    """Success criterion of a SweepGoal; a contact with the line during a motion is a failure."""

    def __init__(self, episode: TaskEpisode) -> None:
        super().__init__()
        self._goal: SweepGoal = episode.goal
        self._touched = ""

    def monitor(self, world: WorldState) -> None:
        """Remember the first block that touches the line."""
        for name in self._goal.swept + self._goal.distractors:
            if self._goal.line.overlaps(block_corners(world.poses[name])):
                self._touched = self._touched or name

    def _evaluate(self, world: WorldState) -> TaskEvaluation:
        self.monitor(world)
        if self._touched:
            return TaskEvaluation(TaskOutcome.FAILURE, f"{self._touched} touched the line")
        workspace = world.scene.workspace
        for name in self._goal.swept:
            x, y = world.poses[name].position[:2]
            if not workspace.contains(x, y):
                return TaskEvaluation(TaskOutcome.FAILURE, f"{name} has left the workspace")
        for name in self._goal.distractors:
            if self._goal.inside.overlaps(block_corners(world.poses[name])):
                return TaskEvaluation(TaskOutcome.FAILURE, f"{name} is in the zone")
        count = len(in_zone(self._goal, world))
        if count > self._goal.count:
            return TaskEvaluation(
                TaskOutcome.FAILURE, f"{count} blocks in the zone, not {self._goal.count}"
            )
        done = count == self._goal.count
        return TaskEvaluation(
            TaskOutcome.SUCCESS if done else TaskOutcome.RUNNING,
            f"{count} of {self._goal.count} blocks",
        )


def in_zone(goal: SweepGoal, world: WorldState) -> tuple[str, ...]:
    """Return the names of the swept blocks that lie wholly in the zone."""
    return tuple(
        name for name in goal.swept if goal.zone.contains(block_corners(world.poses[name]))
    )


def block_corners(pose: Pose) -> np.ndarray:
    """Return the corners (4, 2) of a block in the top view, in order [m]."""
    yaw, half = heading(pose), BLOCK / 2
    along = half * np.array([math.cos(yaw), math.sin(yaw)])
    across = np.array([-along[1], along[0]])
    corners = np.array([along + across, across - along, -along - across, along - across])
    return pose.position[:2] + corners
