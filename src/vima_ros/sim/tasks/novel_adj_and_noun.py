"""Task: combination of invented nouns and an invented adjective."""

from __future__ import annotations

import numpy as np

from vima_ros.sim.scene import Scene
from vima_ros.sim.tasks.base import EpisodeSpec
from vima_ros.sim.tasks.invented_adjectives import EXAMPLES, Property, adjective_shapes
from vima_ros.sim.tasks.layout import LayoutSampler, choose, choose_different
from vima_ros.sim.tasks.placement import PlacementGoal, PlacementTask, into
from vima_ros.sim.tasks.prompt_templates import (
    ADJECTIVES,
    NOUNS,
    fill,
    placeholders,
    shape_asset,
)
from vima_ros.sim.tasks.splits import Level, Split

_DRAGGED, _BASE = "This is a <noun> {dragged_obj}.", "This is a <base_noun> {base_obj}."
_MORE = "Put the <adjective> <noun> into the <base_noun>."
_LESS = "Put the less <adjective> <noun> into the <base_noun>."


class NovelAdjAndNoun(PlacementTask):
    """Extension of novel_adj with nouns and two more distractors, one of which may be a base."""

    name = "novel_adj_and_noun"
    templates = (
        f"{_DRAGGED} {_BASE} {EXAMPLES} {_MORE}",
        f"{_BASE} {_DRAGGED} {EXAMPLES} {_MORE}",
        f"{_DRAGGED} {_BASE} {EXAMPLES} {_LESS}",
        f"{_BASE} {_DRAGGED} {EXAMPLES} {_LESS}",
    )
    step_limit = 3
    levels = (Level.NOVEL_TASK,)

    def _draw(
        self, random: np.random.Generator, split: Split, layout: LayoutSampler
    ) -> EpisodeSpec:
        form = int(random.integers(len(self.templates)))
        less = form >= 2
        base = layout.place(
            "base_obj", choose(random, split.base_shapes), choose(random, split.base_textures)
        )
        prop = Property.draw(random)
        names = ("dragged_obj", "distractor_obj_1")
        shape = choose(random, adjective_shapes(split))
        pair = prop.pair(random, split, layout, shape, names[::-1] if less else names)
        dragged, distractor = reversed(pair) if less else pair
        taken = (base.shape, dragged.shape)
        shapes = [split.dragged_shapes, choose(random, (split.dragged_shapes, split.base_shapes))]
        more = [
            layout.place(
                f"distractor_obj_{k}",
                choose(random, [shape for shape in options if shape not in taken]),
                choose(random, split.textures),
            )
            for k, options in enumerate(shapes, 2)
        ]
        noun, base_noun = choose_different(random, NOUNS, 2)
        template = self.templates[form]
        words = {"adjective": choose(random, ADJECTIVES), "noun": noun, "base_noun": base_noun}
        assets = {
            **prop.examples(random, split, layout),
            dragged.name: shape_asset(dragged),
            base.name: shape_asset(base),
        }
        distractors = (distractor.name, *(item.name for item in more))
        return EpisodeSpec(
            Scene((base, dragged, distractor, *more)),
            fill(template, **words),
            {name: assets[name] for name in placeholders(template)},
            PlacementGoal(((into(base, dragged.name),),), distractors),
        )
