"""Rearrange the objects to what a picture shows."""

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

_COUNTS, _PROBABILITIES = (1, 2, 3), (0.4, 0.4, 0.2)  # of the objects in the picture


class Rearrange(PlacementTask):
    """One to three objects; a single one has a distractor, half of the time on its goal place."""

    name = "rearrange"
    templates = ("Rearrange to this {scene}.",)
    step_limit = 5
    has_base = False

    def _draw(self, random: np.random.Generator, split: Split) -> EpisodeSpec:
        count = _COUNTS[int(random.choice(len(_COUNTS), p=_PROBABILITIES))]
        table = LayoutSampler(random)
        looks = [(shape, t) for shape in split.dragged_shapes for t in split.dragged_textures]
        items = [
            table.place(f"dragged_obj_{k}", *look)
            for k, look in enumerate(choose_different(random, looks, count), 1)
        ]
        goals: list[SceneObject] = []
        for item in items:
            position, yaw = table.free_place(item.shape)
            goals.append(replace(item, position_xy=position, yaw=yaw))
        distractors = [_distractor(random, split, table, goals[0])] if count == 1 else []
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
    """As rearrange, then everything back to where it was."""

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
    random: np.random.Generator, split: Split, table: LayoutSampler, goal: SceneObject
) -> SceneObject:
    shapes = [shape for shape in split.dragged_shapes if shape != goal.shape]
    look = choose(random, shapes), choose(random, split.textures)
    distractor = table.place("distractor_obj_1", *look)
    if random.random() < 0.5:
        return distractor
    return replace(distractor, position_xy=goal.position_xy)
