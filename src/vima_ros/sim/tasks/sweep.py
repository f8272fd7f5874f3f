"""Tasks: sweep small blocks into a three-sided rectangle with the spatula."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import numpy as np

from vima_ros.errors import NoRoomError
from vima_ros.policy_frame import VIMA_WORKSPACE
from vima_ros.sim.model.shapes import SHAPES
from vima_ros.sim.scene import Scene, SceneObject
from vima_ros.sim.tasks.base import EpisodeSpec, Oracle, SuccessCriterion, Task, TaskEpisode
from vima_ros.sim.tasks.layout import XY, LayoutSampler, choose, choose_different, random_yaw
from vima_ros.sim.tasks.prompt_templates import fill, object_asset
from vima_ros.sim.tasks.splits import Level, Split
from vima_ros.sim.tasks.sweep_goal import Rectangle, SweepCriterion, SweepGoal
from vima_ros.sim.tasks.sweep_oracle import SweepOracle
from vima_ros.specs import EndEffector

_BAR = 0.04  # width of the drawn bars [m]
_SLACK = 0.02  # of the zone beyond the open side, half a bar [m]
_PATCHES = ((0.57, -0.22), (0.58, 0.03))  # lower corners of the areas of initial positions [m]
_PATCH = 0.18  # their side [m]
# The blade is lowered at least 2 cm behind a block, and must be in the workspace there.
_MAX_X = 0.71
_MIN_DISTANCE = 0.045  # of the centres of two blocks, which never overlap [m]
_COUNTS, _PROBABILITIES = (1, 2, 3), (0.5, 0.25, 0.25)
_WORDS = {1: ("any", "one", "all"), 2: ("any", "one", "two", "all")}
_WORDS[3] = ("any", "one", "two", "three", "all")
_NUMBERS = {"any": 1, "one": 1, "two": 2, "three": 3}


class SweepTask(Task):
    """Base class: a three-sided rectangle open towards +x, a line, blocks and distractor blocks.

    ``_shapes``: of the rectangle and the line. ``_centre_x``, ``_size``: of the rectangle, its
    size in x and y to the middle of its bars [m]. ``_distractor_patch``: side of the area of the
    initial positions of distractors [m]. All positions are VIMA-Bench's; on another workspace
    they keep their places from its center.
    """

    end_effector = EndEffector.SPATULA
    _shapes: ClassVar[tuple[str, str]]
    _centre_x: ClassVar[float]
    _size: ClassVar[XY]
    _distractor_patch: ClassVar[float]

    def success_criterion(self, episode: TaskEpisode) -> SuccessCriterion:
        """Create the success criterion."""
        return SweepCriterion(episode)

    def oracle(self, episode: TaskEpisode, seed: int | None = 0) -> Oracle:
        """Create an oracle; it makes no random choices."""
        return SweepOracle(episode)

    def _draw(
        self, random: np.random.Generator, split: Split, layout: LayoutSampler
    ) -> EpisodeSpec:
        count = _COUNTS[int(random.choice(len(_COUNTS), p=_PROBABILITIES))]
        word = choose(random, _WORDS[count])
        textures = choose_different(random, split.base_textures, 2)
        place = (self._line_x(random), 0.0)
        bounds = SceneObject(
            "bounds", self._shapes[0], textures[0], (self._centre_x, 0.0), -math.pi / 2
        )
        line = SceneObject("constraint", self._shapes[1], textures[1], place, math.pi / 2)
        swept_texture, other = choose_different(random, split.dragged_textures, 2)
        corners = choose_different(random, _PATCHES, 2)
        blocks: list[SceneObject] = []
        for kind, texture, corner, side in (
            ("swept_obj", swept_texture, corners[0], _PATCH),
            ("distractor_obj", other, corners[1], self._distractor_patch),
        ):
            for k in range(1, count + 1):
                place = _free(random, corner, side, [block.position_xy for block in blocks])
                name = f"{kind}_{k}"
                blocks.append(SceneObject(name, "small_block", texture, place, random_yaw(random)))
        names = tuple(block.name for block in blocks)
        goal = self.make_goal(names[:count], names[count:], _NUMBERS.get(word, count), line)
        scene = Scene((bounds, line, *blocks), self.end_effector).moved_to(layout.workspace)
        shift = np.subtract(layout.workspace.center, VIMA_WORKSPACE.center)
        assets = {
            "swept_obj": object_asset(blocks[0]),
            "bounds": object_asset(bounds),
            "constraint": object_asset(line),
        }
        return EpisodeSpec(
            scene,
            fill(self.template, determiner=word),
            assets,
            goal.moved(shift),
        )

    def make_goal(
        self, swept: tuple[str, ...], distractors: tuple[str, ...], count: int, line: SceneObject
    ) -> SweepGoal:
        """Return the goal: ``count`` of the swept blocks in the area beyond the line, no other."""
        line_area = Rectangle.around(line.position_xy, (_BAR, SHAPES[line.shape].size[0]))
        start, opening = self._zone_start(line_area), self._centre_x + self._size[0] / 2
        outer, inner = ((self._size[1] + width) / 2 for width in (_BAR, -_BAR))
        return SweepGoal(
            swept,
            distractors,
            count,
            zone=Rectangle((start, -outer), (opening + _SLACK, outer)),
            inside=Rectangle((start, -outer), (opening, outer)),
            target=Rectangle((start, -inner), (opening, inner)),
            line=line_area,
        )

    @abstractmethod
    def _line_x(self, random: np.random.Generator) -> float:
        """Return the x of the line, which is parallel to y [m]."""

    @abstractmethod
    def _zone_start(self, line: Rectangle) -> float:
        """Return the minimum x of the zone, its end towards the robot [m]."""


class SweepWithoutExceeding(SweepTask):
    """Line across the rectangle; the zone is between the line and the open side."""

    name = "sweep_without_exceeding"
    templates = ("Sweep <determiner> {swept_obj} into {bounds} without exceeding {constraint}.",)
    step_limit = 8
    levels = (Level.TRAIN, Level.PLACEMENT, Level.COMBINATORIAL, Level.GENERATED)
    _shapes = ("three_sided_rectangle", "line")
    _centre_x, _size = 0.41, (0.27, 0.27)
    _distractor_patch = 0.09

    def _line_x(self, random: np.random.Generator) -> float:
        depth = self._size[0]
        return self._centre_x - depth / 2 + float(random.uniform(0.25, 0.60)) * depth

    def _zone_start(self, line: Rectangle) -> float:
        return line.high[0]


class SweepWithoutTouching(SweepTask):
    """Line that closes part of the open side; blocks have to be swept around it."""

    name = "sweep_without_touching"
    templates = ("Sweep <determiner> {swept_obj} into {bounds} without touching {constraint}.",)
    step_limit = 14
    levels = (Level.NOVEL_TASK,)
    _shapes = ("wide_three_sided_rectangle", "short_line")
    _centre_x, _size = 0.39, (0.172, 0.30)
    _distractor_patch = _PATCH

    def _line_x(self, random: np.random.Generator) -> float:
        return self._centre_x + (self._size[0] + _BAR) / 2

    def _zone_start(self, line: Rectangle) -> float:
        return self._centre_x - (self._size[0] + _BAR) / 2


def _free(random: np.random.Generator, corner: XY, side: float, taken: list[XY]) -> XY:
    """Draw a free position in a patch. Raises NoRoomError."""
    for _ in range(100):
        x, y = (float(low + side * random.random()) for low in corner)
        if x <= _MAX_X and all(math.dist((x, y), other) >= _MIN_DISTANCE for other in taken):
            return x, y
    raise NoRoomError(f"no room for a block beside {len(taken)} others; valid: fewer")
