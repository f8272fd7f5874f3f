"""Tasks: rearrange the objects as in an image, and optionally restore them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vima_ros.sim.scene import Scene, SceneObject
from vima_ros.sim.tasks.base import EpisodeSpec
from vima_ros.sim.tasks.layout import LayoutSampler, choose, choose_different
from vima_ros.sim.tasks.placement import (
    DistractorCheck,
    PlaceGoal,
    PlacementGoal,
    PlacementTask,
    Stage,
)
from vima_ros.sim.tasks.prompt_templates import scene_asset
from vima_ros.sim.tasks.splits import Split

_COUNTS, _PROBABILITIES = (1, 2, 3), (0.4, 0.4, 0.2)  # of the number of objects in the image


class Rearrange(PlacementTask):
    """Rearrangement of one to three objects; a single one has a distractor.

    In half of the episodes the distractor is on the goal place.
    """

    name = "rearrange"
    templates = ("Rearrange to this {scene}.",)
    step_limit = 5
    has_base = False

    def _draw(
        self, random: np.random.Generator, split: Split, layout: LayoutSampler
    ) -> EpisodeSpec:
        count = _COUNTS[int(random.choice(len(_COUNTS), p=_PROBABILITIES))]
        variants = [(shape, t) for shape in split.dragged_shapes for t in split.dragged_textures]
        items = [
            layout.place(f"dragged_obj_{k}", *variant)
            for k, variant in enumerate(choose_different(random, variants, count), 1)
        ]
        goals: list[SceneObject] = []
        for item in items:
            position, yaw = layout.free_pose(item.shape)
            goals.append(replace(item, position_xy=position, yaw=yaw))
        distractors = [_distractor(random, split, layout, goals[0])] if count == 1 else []
        stages = self._stages(random, items, goals)
        names = tuple(item.name for item in distractors)
        return EpisodeSpec(
            Scene((*items, *distractors)),
            self.template,
            {"scene": scene_asset(*goals)},
            PlacementGoal(stages, names, DistractorCheck.STAGE_END),
        )

    def _stages(
        self, random: np.random.Generator, items: list[SceneObject], goals: list[SceneObject]
    ) -> tuple[Stage, ...]:
        return (_places(goals),)


class RearrangeThenRestore(Rearrange):
    """Rearrangement, after which all objects return to their initial poses."""

    name = "rearrange_then_restore"
    templates = ("Rearrange objects to this setup {scene} and then restore.",)
    step_limit = 8

    def _stages(
        self, random: np.random.Generator, items: list[SceneObject], goals: list[SceneObject]
    ) -> tuple[Stage, ...]:
        back = [items[int(k)] for k in random.permutation(len(items))]
        return (_places(goals), _places(back))


def _places(goals: list[SceneObject]) -> Stage:
    return tuple(PlaceGoal(item.name, item.position_xy, item.yaw) for item in goals)


def _distractor(
    random: np.random.Generator, split: Split, layout: LayoutSampler, goal: SceneObject
) -> SceneObject:
    shapes = [shape for shape in split.dragged_shapes if shape != goal.shape]
    variant = choose(random, shapes), choose(random, split.textures)
    distractor = layout.place("distractor_obj_1", *variant)
    if random.random() < 0.5:
        return distractor
    return replace(distractor, position_xy=goal.position_xy)
