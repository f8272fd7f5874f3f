"""Task: choose between two objects of one shape by an invented adjective."""

from __future__ import annotations

import numpy as np

from vima_ros.sim.scene import Scene
from vima_ros.sim.tasks.base import EpisodeSpec
from vima_ros.sim.tasks.invented_adjectives import EXAMPLES, Property, adjective_shapes
from vima_ros.sim.tasks.layout import LayoutSampler, choose
from vima_ros.sim.tasks.placement import PlacementGoal, PlacementTask, into
from vima_ros.sim.tasks.prompt_templates import ADJECTIVES, fill, shape_asset
from vima_ros.sim.tasks.splits import Split


class NovelAdj(PlacementTask):
    """Adjective defined by examples; the other object of the pair is the distractor."""

    name = "novel_adj"
    templates = (
        EXAMPLES + " Put the <adjective> {dragged_obj} into the {base_obj}.",
        EXAMPLES + " Put the less <adjective> {dragged_obj} into the {base_obj}.",
    )
    step_limit = 3

    def _draw(
        self, random: np.random.Generator, split: Split, layout: LayoutSampler
    ) -> EpisodeSpec:
        less = int(random.integers(2))
        base = layout.place(
            "base_obj", choose(random, split.base_shapes), choose(random, split.base_textures)
        )
        prop = Property.draw(random)
        names = ("dragged_obj", "distractor_obj")
        shape = choose(random, adjective_shapes(split))
        pair = prop.pair(random, split, layout, shape, names[::-1] if less else names)
        dragged, distractor = reversed(pair) if less else pair
        assets = {
            **prop.examples(random, split, layout),
            dragged.name: shape_asset(dragged),
            base.name: shape_asset(base),
        }
        return EpisodeSpec(
            Scene((base, dragged, distractor)),
            fill(self.templates[less], adjective=choose(random, ADJECTIVES)),
            assets,
            PlacementGoal(((into(base, dragged.name),),), (distractor.name,)),
        )
