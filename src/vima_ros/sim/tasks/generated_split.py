"""Generated shapes and textures of one episode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vima_ros.sim.model.generated_textures import (
    TEXTURE_FAMILIES,
    TEXTURES_OF_A_FAMILY,
    generated_texture_name,
)
from vima_ros.sim.model.shapes.generated import (
    ASYMMETRIC_FAMILIES,
    BASE_FAMILIES,
    MOVABLE_FAMILIES,
    SHAPES_OF_A_FAMILY,
    generated_cells,
    generated_shape_name,
    similarity,
)
from vima_ros.sim.tasks.splits import (
    TRAIN_BASE_TEXTURES,
    TRAIN_CONTAINERS,
    TRAIN_DRAGGED_TEXTURES,
    Split,
)

_SHAPES, _ASYMMETRIC = 8, 3  # moved shapes of an episode, and how many of them at least
_TEXTURES = 12  # of moved objects, and as many of bases
_DIFFERENT = 0.8  # maximum similarity of two shapes of an episode


def generated_split(random: np.random.Generator, names_textures: bool) -> Split:
    """Draw shapes and textures for one episode.

    Eight moved shapes that differ from each other, three or more without symmetry; VIMA-Bench's
    training bases and two generated ones. No word names a generated texture: where a prompt has
    words for textures (``names_textures``), they are VIMA-Bench's of training.
    """
    families = [
        ASYMMETRIC_FAMILIES[k % len(ASYMMETRIC_FAMILIES)] if k < _ASYMMETRIC else None
        for k in range(_SHAPES)
    ]
    moved: list[str] = []
    cells: list[np.ndarray] = []
    for family in families:
        while True:
            name = _shape(random, MOVABLE_FAMILIES if family is None else (family,))
            added = generated_cells(name)
            if not cells or similarity(added, np.stack(cells)) <= _DIFFERENT:
                break
        moved.append(name)
        cells.append(added)
    bases = (*TRAIN_CONTAINERS, *(_shape(random, (family,)) for family in BASE_FAMILIES))
    if names_textures:
        return Split(tuple(moved), bases, TRAIN_DRAGGED_TEXTURES, TRAIN_BASE_TEXTURES)
    textures = tuple(
        generated_texture_name(family, int(number))
        for family in TEXTURE_FAMILIES
        for number in random.choice(TEXTURES_OF_A_FAMILY, 2 * _TEXTURES // 8, replace=False)
    )
    order = [textures[int(k)] for k in random.permutation(len(textures))]
    return Split(tuple(moved), bases, tuple(order[:_TEXTURES]), tuple(order[_TEXTURES:]))


def _shape(random: np.random.Generator, families: Sequence[str]) -> str:
    family = families[int(random.integers(len(families)))]
    return generated_shape_name(family, int(random.integers(SHAPES_OF_A_FAMILY)))
