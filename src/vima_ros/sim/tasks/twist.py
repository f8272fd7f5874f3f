"""Task: rotate objects by an angle defined by example images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from vima_ros.sim.model.textures import texture_words
from vima_ros.sim.scene import Scene
from vima_ros.sim.tasks.base import Asset, EpisodeSpec
from vima_ros.sim.tasks.layout import LayoutSampler, choose
from vima_ros.sim.tasks.placement import YAW_TOLERANCE, PlaceGoal, PlacementGoal, PlacementTask
from vima_ros.sim.tasks.prompt_templates import fill, scene_asset
from vima_ros.sim.tasks.rotate import ANGLES
from vima_ros.sim.tasks.splits import Split

_OBJECTS = 3
_TOLERANCE = 0.05  # [m]


class Twist(PlacementTask):
    """Rotation of one or two of three objects, selected by texture, clockwise."""

    name = "twist"
    templates = (
        '"Twist" is defined as rotating object a specific angle. For examples: '
        "From {before_twist_1} to {after_twist_1}. From {before_twist_2} to {after_twist_2}. "
        "From {before_twist_3} to {after_twist_3}. Now twist all <texture> objects.",
    )
    step_limit = 5
    names_textures = True
    has_base = False

    def _draw(
        self, random: np.random.Generator, split: Split, layout: LayoutSampler
    ) -> EpisodeSpec:
        count = int(random.integers(1, 3))
        texture = choose(random, split.dragged_textures)
        others = [other for other in split.dragged_textures if other != texture]
        items = []
        for k in range(1, _OBJECTS + 1):
            name = f"dragged_obj_{k}" if k <= count else f"distractor_obj_{k - count}"
            variant = texture if k <= count else choose(random, others)
            items.append(layout.place(name, choose(random, split.asymmetric_shapes), variant))
        turn = -math.radians(choose(random, ANGLES))
        goals = tuple(
            PlaceGoal(item.name, item.position_xy, item.yaw + turn, _TOLERANCE, YAW_TOLERANCE)
            for item in items[:count]
        )
        shapes = [item.shape for item in items[:count]]
        return EpisodeSpec(
            Scene(tuple(items)),
            fill(self.template, texture=texture_words(texture)),
            _examples(random, layout, shapes, others, turn),
            PlacementGoal((goals,), tuple(item.name for item in items[count:])),
        )


def _examples(
    random: np.random.Generator,
    layout: LayoutSampler,
    shapes: Sequence[str],
    textures: Sequence[str],
    turn: float,
) -> Mapping[str, Asset]:
    """Return images of single objects before and after the rotation."""
    assets = {}
    for k in (1, 2, 3):
        variant = choose(random, shapes), choose(random, textures)
        before = layout.empty().place("twisted_obj", *variant)
        assets[f"before_twist_{k}"] = scene_asset(before)
        assets[f"after_twist_{k}"] = scene_asset(replace(before, yaw=before.yaw + turn))
    return assets
