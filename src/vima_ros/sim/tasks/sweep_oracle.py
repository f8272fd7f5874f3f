"""Oracle of the sweep tasks: plans pushes of one block at a time around obstacles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vima_ros.geometry import Pose, quaternion_from_yaw
from vima_ros.sim.tasks.base import Oracle, TaskEpisode, WorldState
from vima_ros.sim.tasks.sweep_goal import BLOCK, Rectangle, SweepGoal, block_corners, in_zone
from vima_ros.specs import POSITION_BINS

# The sweep primitive of VIMA-Bench: distances of the start behind pose0 and of the end before
# pose1, width and half the thickness of the blade.
_RUN_UP, _STOP_SHORT, _BLADE, _HALF_THICK = 0.02, 0.05, 0.05, 0.0025  # [m]
_RADIUS = BLOCK / math.sqrt(2.0)  # of the circle around a block [m]
_BEHIND = 0.012  # of pose0 behind the block's centre, so that the blade never lands on it [m]
_STOPS = _STOP_SHORT - _HALF_THICK - BLOCK / 2  # of the pushed block's end before pose1 [m]
_MARGIN = 0.005  # to other blocks and the line [m]
_DRIFT = 0.03  # of a block along the blade, as a fraction of the distance
_INSIDE = 0.006  # margin in the zone in addition to the radius: pushes are not exact [m]
_NODE_GRID, _ZONE_GRID = 0.05, 0.015  # of positions to push a block to [m]
_EDGE = 0.04  # margin of these at the edge of the workspace [m]


@dataclass(frozen=True)
class Pushes:
    """Pushes ``pose0``, ``pose1`` with ``end`` of the block, each (n, 2), and ``valid`` (n,)."""

    pose0: np.ndarray
    pose1: np.ndarray
    end: np.ndarray
    valid: np.ndarray

    def shortest(self, mask: np.ndarray) -> tuple[Pose, Pose]:
        """Return the shortest push where ``mask`` (n,) is True."""
        length = np.linalg.norm(self.pose1 - self.pose0, axis=1)
        best = int(np.where(mask, length, np.inf).argmin())
        identity = quaternion_from_yaw(0.0)
        return (
            Pose(np.append(self.pose0[best], 0.0), identity),
            Pose(np.append(self.pose1[best], 0.0), identity),
        )


class SweepOracle(Oracle):
    """Oracle that sweeps the block with the fewest pushes; its poses are exact bins."""

    def __init__(self, episode: TaskEpisode) -> None:
        self._goal: SweepGoal = episode.goal
        workspace = episode.scene.workspace
        self._table = Rectangle(workspace.low, workspace.high)
        self._nodes = _grid(self._table, _EDGE, _NODE_GRID)
        self._targets = _grid(self._goal.target, _RADIUS + _INSIDE, _ZONE_GRID)

    def act(self, world: WorldState) -> tuple[Pose, Pose] | None:
        """Return the next push; None if enough blocks are in the zone, or if there is none."""
        inside = in_zone(self._goal, world)
        if len(inside) >= self._goal.count:
            return None
        remaining = [name for name in self._goal.swept if name not in inside]
        corners = {name: block_corners(pose) for name, pose in world.poses.items()}
        planners = [self._planner(world, corners, name) for name in remaining]
        for pushes in (1, 2, 3):
            for planner in planners:
                found = planner.first_push(pushes)
                if found is not None:
                    return found
        return None

    def _planner(self, world: WorldState, corners: dict[str, np.ndarray], name: str) -> _Planner:
        blocks = self._goal.swept + self._goal.distractors
        others = [corners[other] for other in blocks if other != name]
        start = world.poses[name].position[:2]
        return _Planner(
            start,
            np.concatenate(others),
            self._goal,
            self._nodes,
            self._targets,
            self._table,
        )


class _Planner:
    """Planner for one block at ``start``; ``obstacles``: corners (m, 2) of the others."""

    def __init__(
        self,
        start: np.ndarray,
        obstacles: np.ndarray,
        goal: SweepGoal,
        nodes: np.ndarray,
        targets: np.ndarray,
        table: Rectangle,
    ) -> None:
        self._start, self._obstacles, self._goal = start, obstacles, goal
        self._nodes, self._targets, self._table = nodes, targets, table
        self._out: Pushes | None = None

    def first_push(self, pushes: int) -> tuple[Pose, Pose] | None:
        """Return the first of ``pushes`` pushes into the zone, or None if there are none."""
        if pushes == 1:
            found = self._push(self._start[None], self._targets)
            mask = found.valid & self._on_target(found.end)
        else:
            found = self._out = self._out or self._push(self._start[None], self._nodes)
            mask = found.valid & self._reachable(found.end, found.valid, pushes - 1)
        return found.shortest(mask) if mask.any() else None

    def _reachable(self, places: np.ndarray, candidates: np.ndarray, pushes: int) -> np.ndarray:
        """Return a mask (n,) of ``places`` (n, 2) from which ``pushes`` pushes reach the zone."""
        result = np.zeros(len(places), bool)
        index = np.flatnonzero(candidates)
        ends = self._targets if pushes == 1 else self._nodes
        starts = np.repeat(places[index], len(ends), axis=0)
        found = self._push(starts, np.tile(ends, (len(index), 1)))
        good = found.valid
        good &= (
            self._on_target(found.end)
            if pushes == 1
            else self._reachable(found.end, found.valid, pushes - 1)
        )
        result[index] = good.reshape(len(index), len(ends)).any(axis=1)
        return result

    def _on_target(self, places: np.ndarray) -> np.ndarray:
        inside = _RADIUS + _INSIDE / 2
        return _within(self._goal.target, places, inside)

    def _push(self, starts: np.ndarray, ends: np.ndarray) -> Pushes:
        """Return pushes of the block from ``starts`` (n or 1, 2) to about ``ends`` (n, 2)."""
        starts = np.broadcast_to(starts, ends.shape)
        way = ends - starts
        length = np.linalg.norm(way, axis=1, keepdims=True)
        along = way / np.maximum(length, 1e-9)
        pose0 = _binned(starts - _BEHIND * along, self._table)
        pose1 = _binned(ends + _STOPS * along, self._table)
        way = pose1 - pose0
        total = np.linalg.norm(way, axis=1)
        along = way / np.maximum(total, 1e-9)[:, None]
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        ahead = ((starts - pose0) * along).sum(axis=1)
        off = ((starts - pose0) * across).sum(axis=1)
        stop = total - _STOPS  # where the block stops, along the push from pose0
        end = pose0 + stop[:, None] * along + off[:, None] * across
        blade = pose0 - _RUN_UP * along
        valid = stop > ahead + 0.01
        valid &= ahead + _RUN_UP >= _RADIUS + _HALF_THICK + 0.002
        valid &= _within(self._table, blade, 0.0) & _within(self._table, end, _RADIUS)
        valid[valid] &= self._clear(pose0[valid], along[valid], across[valid], stop[valid])
        valid[valid] &= self._avoids_line(starts[valid], end[valid])
        return Pushes(pose0, pose1, end, valid)

    def _clear(
        self, pose0: np.ndarray, along: np.ndarray, across: np.ndarray, stop: np.ndarray
    ) -> np.ndarray:
        """Return a mask (n,) of the pushes without contact to other blocks."""
        relative = self._obstacles - pose0[:, None]  # (n, m, 2)
        forward = np.einsum("nmk,nk->nm", relative, along)
        aside = np.einsum("nmk,nk->nm", relative, across)
        met = (forward > -_RUN_UP - _HALF_THICK - _MARGIN) & (
            forward < (stop + _RADIUS + _MARGIN)[:, None]
        )
        return ~(met & (abs(aside) < _BLADE / 2 + _MARGIN)).any(axis=1)

    def _avoids_line(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Return a mask (n,) of the pushes on which the block does not touch the line."""
        parts = np.linspace(0.0, 1.0, 25)[:, None]
        way = (ends - starts)[:, None]
        places = starts[:, None] + parts * way  # (n, 25, 2)
        line = self._goal.line
        distance = np.linalg.norm(places - np.clip(places, line.low, line.high), axis=-1)
        drift = _DRIFT * np.linalg.norm(parts * way, axis=-1)  # (n, 25)
        return (distance > _RADIUS + _MARGIN + drift).all(axis=1)


def _grid(area: Rectangle, margin: float, step: float) -> np.ndarray:
    """Return a grid (n, 2) of positions inside, ``margin`` from the edges."""
    axes = [
        np.linspace(low + margin, high - margin, max(int((high - low - 2 * margin) / step), 1) + 1)
        for low, high in zip(area.low, area.high, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)


def _binned(places: np.ndarray, table: Rectangle) -> np.ndarray:
    """Round positions (n, 2) to the bins of an action."""
    low, span = np.array(table.low), np.subtract(table.high, table.low)
    bins = np.array(POSITION_BINS)
    index = np.clip(np.round((places - low) / span * bins), 0, bins - 1)
    result: np.ndarray = low + index / bins * span
    return result


def _within(area: Rectangle, places: np.ndarray, margin: float) -> np.ndarray:
    """Return a mask (n,) of the positions inside, ``margin`` from the edges."""
    above = places >= np.array(area.low) + margin
    below = places <= np.array(area.high) - margin
    return np.all(above & below, axis=1)
