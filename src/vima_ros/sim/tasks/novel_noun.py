"""Task: put an object into a base, both named by invented nouns."""

from __future__ import annotations

import numpy as np

from vima_ros.sim.scene import Scene
from vima_ros.sim.tasks.base import EpisodeSpec
from vima_ros.sim.tasks.layout import LayoutSampler, choose, choose_different
from vima_ros.sim.tasks.placement import PlacementGoal, PlacementTask, base_and_dragged, into
from vima_ros.sim.tasks.prompt_templates import NOUNS, fill, placeholders, shape_asset
from vima_ros.sim.tasks.splits import Split

_FIXED_DISTRACTOR = 1 / 6


class NovelNoun(PlacementTask):
    """Variant of visual_manipulation whose images show only the shapes."""

    name = "novel_noun"
    templates = (
        "This is a <noun> {dragged_obj_1}. This is a <base_noun> {base_obj}. "
        "Put a <noun> into a <base_noun>.",
        "This is a <base_noun> {base_obj}. This is a <noun> {dragged_obj_1}. "
        "Put a <noun> into a <base_noun>.",
    )
    step_limit = 3

    def _draw(
        self, random: np.random.Generator, split: Split, layout: LayoutSampler
    ) -> EpisodeSpec:
        base, dragged = base_and_dragged(layout, random, split, "dragged_obj_1")
        fixed = random.random() < _FIXED_DISTRACTOR
        shapes = split.base_shapes if fixed else split.dragged_shapes
        others = [shape for shape in shapes if shape not in (base.shape, dragged.shape)]
        distractor = layout.place(
            "distractor_obj_1", choose(random, others), choose(random, split.textures)
        )
        template = choose(random, self.templates)
        noun, base_noun = choose_different(random, NOUNS, 2)
        assets = {dragged.name: shape_asset(dragged), base.name: shape_asset(base)}
        return EpisodeSpec(
            Scene((base, dragged, distractor)),
            fill(template, noun=noun, base_noun=base_noun),
            {name: assets[name] for name in placeholders(template)},
            PlacementGoal(((into(base, dragged.name),),), (distractor.name,)),
        )
