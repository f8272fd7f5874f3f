"""Invented adjectives, defined by three pairs of objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vima_ros.sim.model.generated_textures import is_generated_texture
from vima_ros.sim.model.textures import TEXTURES
from vima_ros.sim.scene import SceneObject
from vima_ros.sim.tasks.base import Asset
from vima_ros.sim.tasks.layout import LayoutSampler, choose
from vima_ros.sim.tasks.prompt_templates import object_asset
from vima_ros.sim.tasks.splits import Split

EXAMPLES = " ".join(
    f"{{demo_blicker_obj_{k}}} is <adjective> than {{demo_less_blicker_obj_{k}}}."
    for k in (1, 2, 3)
)
_LOW = (0.3, 0.4)  # height factor of short objects
_TALLER = 2.0  # difference of the height factor of tall objects


@dataclass(frozen=True)
class Property:
    """Property that the adjective names: height, or brightness of the colour."""

    height: bool
    increases: bool  # taller or brighter; else shorter or darker

    @staticmethod
    def draw(random: np.random.Generator) -> Property:
        """Draw one of the four properties."""
        return Property(*(bool(value) for value in random.integers(2, size=2)))

    def pair(
        self,
        random: np.random.Generator,
        split: Split,
        layout: LayoutSampler,
        shape: str,
        names: tuple,
    ) -> tuple[SceneObject, SceneObject]:
        """Place two objects that differ only in the property; the one with more of it is first."""
        if self.height:
            texture = choose(random, _with_dark(split))
            low = float(random.uniform(*_LOW))
            variants = [(texture, low), (texture, low + _TALLER)]
        else:
            texture = choose(random, _darkened(split))
            variants = [(f"dark_{texture}", 1.0), (texture, 1.0)]
        if self.increases:
            variants.reverse()
        more, less = (
            layout.place(name, shape, texture, height_factor=factor)
            for name, (texture, factor) in zip(names, variants, strict=True)
        )
        return more, less

    def examples(
        self, random: np.random.Generator, split: Split, layout: LayoutSampler
    ) -> Mapping[str, Asset]:
        """Return the images of EXAMPLES."""
        assets = {}
        for k in (1, 2, 3):
            names = f"demo_blicker_obj_{k}", f"demo_less_blicker_obj_{k}"
            shape = choose(random, adjective_shapes(split))
            for item in self.pair(random, split, layout.empty(), shape, names):
                assets[item.name] = object_asset(item)
        return assets


def adjective_shapes(split: Split) -> tuple[str, ...]:
    """Return all shapes but the block, which would be a shorter block at a third of its height."""
    return tuple(shape for shape in split.dragged_shapes if shape != "block")


def _darkened(split: Split) -> list[str]:
    """Return the textures that have a dark variant."""
    return [
        name
        for name in split.dragged_textures
        if f"dark_{name}" in TEXTURES or is_generated_texture(name)
    ]


def _with_dark(split: Split) -> list[str]:
    return [*split.dragged_textures, *(f"dark_{name}" for name in _darkened(split))]
