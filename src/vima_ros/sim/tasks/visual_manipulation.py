"""Task: put the object of an image into the base of another image."""

from __future__ import annotations

import numpy as np

from vima_ros.sim.scene import Scene
from vima_ros.sim.tasks.base import EpisodeSpec
from vima_ros.sim.tasks.layout import LayoutSampler, choose
from vima_ros.sim.tasks.placement import PlacementGoal, PlacementTask, base_and_dragged, into
from vima_ros.sim.tasks.prompt_templates import object_asset
from vima_ros.sim.tasks.splits import Split

_FIXED_DISTRACTOR = 1 / 6  # probability that the distractor is a second base


class VisualManipulation(PlacementTask):
    """Placement with one distractor, another object or another base."""

    name = "visual_manipulation"
    templates = ("Put the {dragged_obj_1} into the {base_obj}.",)
    step_limit = 3

    def _draw(
        self, random: np.random.Generator, split: Split, layout: LayoutSampler
    ) -> EpisodeSpec:
        base, dragged = base_and_dragged(layout, random, split, "dragged_obj_1")
        fixed = random.random() < _FIXED_DISTRACTOR
        variants = [
            (shape, texture)
            for shape in (split.base_shapes if fixed else split.dragged_shapes)
            for texture in split.textures
            if (shape, texture)
            not in ((base.shape, base.texture), (dragged.shape, dragged.texture))
        ]
        distractor = layout.place("distractor_obj_1", *choose(random, variants))
        assets = {"dragged_obj_1": object_asset(dragged), "base_obj": object_asset(base)}
        goal = PlacementGoal(((into(base, dragged.name),),), (distractor.name,))
        return EpisodeSpec(Scene((base, dragged, distractor)), self.template, assets, goal)
