"""Tasks: put all objects that share a property with the base into it."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from vima_ros.sim.model.shapes import SHAPES
from vima_ros.sim.scene import Scene
from vima_ros.sim.tasks.base import EpisodeSpec, Task
from vima_ros.sim.tasks.layout import LayoutSampler, choose
from vima_ros.sim.tasks.placement import PlacementGoal, PlacementTask, into
from vima_ros.sim.tasks.prompt_templates import object_asset
from vima_ros.sim.tasks.splits import Level, Split

_TOLERANCE, _BOWL_TOLERANCE = 0.125, 0.0875  # [m]
Variant = tuple[str, str]  # shape and texture


class _SameProperty(PlacementTask):
    """Base class: two objects to move and one distractor."""

    step_limit = 4

    def _draw(
        self, random: np.random.Generator, split: Split, layout: LayoutSampler
    ) -> EpisodeSpec:
        base_variant, *variants = self._draw_variants(random, split)
        base = layout.place("base_obj", *base_variant)
        names = ("dragged_obj_1", "dragged_obj_2", "distractor_obj_1")
        items = [
            layout.place(name, *variant) for name, variant in zip(names, variants, strict=True)
        ]
        tolerance = _BOWL_TOLERANCE if base.shape == "bowl" else _TOLERANCE
        stage = tuple(into(base, item.name, tolerance) for item in items[:2])
        return EpisodeSpec(
            Scene((base, *items)),
            self.template,
            {base.name: object_asset(base)},
            PlacementGoal((stage,), (items[2].name,)),
        )

    @abstractmethod
    def _draw_variants(self, random: np.random.Generator, split: Split) -> list[Variant]:
        """Draw shape and texture of the base, the two objects to move and the distractor."""


class SameTexture(_SameProperty):
    """Objects with the texture of the base."""

    name = "same_texture"
    templates = ("Put all objects with the same texture as {base_obj} into it.",)
    levels = (Level.NOVEL_TASK,)

    def _draw_variants(self, random: np.random.Generator, split: Split) -> list[Variant]:
        texture = choose(random, split.textures)
        other = choose(random, [name for name in split.textures if name != texture])
        shapes = [choose(random, split.base_shapes)]
        shapes += [choose(random, split.dragged_shapes) for _ in range(3)]
        return list(zip(shapes, (texture, texture, texture, other), strict=True))


class SameShape(_SameProperty):
    """Objects with the profile of the base, square or circle."""

    name = "same_shape"
    templates = ("Put all objects with the same profile as {base_obj} into it.",)
    # No profile of a generated shape is a square or a circle.
    levels = tuple(level for level in Task.levels if level != Level.GENERATED)

    def _draw_variants(self, random: np.random.Generator, split: Split) -> list[Variant]:
        base = choose(random, split.base_shapes)
        # Blocks are not stable on each other; and no novel shape has a square profile.
        shapes = {name for name in split.dragged_shapes if name != "block"} | {"shorter_block"}
        profile = SHAPES[base].profile
        same = sorted(name for name in shapes if SHAPES[name].profile == profile)
        others = sorted(name for name in shapes if SHAPES[name].profile != profile)
        moved = choose(random, split.dragged_textures), choose(random, split.dragged_textures)
        free = [name for name in split.dragged_textures if name not in moved]
        return [
            (base, choose(random, split.base_textures)),
            *((choose(random, same), texture) for texture in moved),
            (choose(random, others), choose(random, free)),
        ]
