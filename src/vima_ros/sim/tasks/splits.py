"""Shapes and textures of each generalization level of VIMA-Bench."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import combinations

from vima_ros.sim.model.shapes.generated import is_asymmetric


class Level(str, Enum):
    """Generalization level; the values are VIMA-Bench's names, but for the last."""

    TRAIN = "train"
    PLACEMENT = "placement_generalization"  # new positions
    COMBINATORIAL = "combinatorial_generalization"  # known shapes and textures, new combinations
    NOVEL_OBJECT = "novel_object_generalization"  # new shapes, any texture
    NOVEL_TASK = "novel_task_generalization"  # new tasks, any shape and texture
    GENERATED = "generated_objects"  # not VIMA-Bench's: generated shapes and textures, to train on


@dataclass(frozen=True)
class Split:
    """Shapes and textures of moved objects and of bases, by name, as ``SceneObject`` has them."""

    dragged_shapes: tuple[str, ...]
    base_shapes: tuple[str, ...]
    dragged_textures: tuple[str, ...]
    base_textures: tuple[str, ...]

    @property
    def textures(self) -> tuple[str, ...]:
        """Textures of distractors: all of the level."""
        return tuple(dict.fromkeys(self.dragged_textures + self.base_textures))

    @property
    def asymmetric_shapes(self) -> tuple[str, ...]:
        """Dragged shapes without rotational symmetry, for tasks with rotations."""
        return tuple(
            name for name in self.dragged_shapes if name in _ASYMMETRIC or is_asymmetric(name)
        )


_LETTERS = ("letter_a", "letter_e", "letter_g", "letter_m", "letter_t", "letter_v")
_MOVABLE = ("block", "cross", "triangle", "flower", "heart", "ring", "pentagon", "l_block")
TRAIN_SHAPES = _LETTERS + _MOVABLE
NOVEL_SHAPES = ("letter_r", "diamond", "hexagon", "round", "star")
TRAIN_CONTAINERS = ("bowl", "frame", "container", "square")
NOVEL_CONTAINERS = ("pallet", "pan")
# VIMA-Bench regards its triangle as symmetric, though one side is longer.
_ASYMMETRIC = (*_LETTERS, "letter_r", "heart", "l_block")

_COLOURS = ("red", "yellow", "green", "blue", "purple")  # of patterns
_PAIRS = tuple(f"{first}_and_{second}" for first, second in combinations(_COLOURS, 2))
_PLAIN = ("blue", "red", "green", "orange", "yellow", "purple", "pink", "cyan", "olive")
_STRIPES = tuple(f"{pair}_stripe" for pair in _PAIRS)
_POLKA_DOTS = tuple(f"{pair}_polka_dot" for pair in _PAIRS)
_SWIRLS = tuple(f"{colour}_swirl" for colour in _COLOURS)
_PAISLEYS = tuple(f"{colour}_paisley" for colour in _COLOURS)
_IMAGES = (
    *("brick", "tiles", "wooden", "granite", "plastic"),
    *("polka_dot", "checkerboard", "tiger", "magma", "rainbow"),
)
ALL_TEXTURES = _PLAIN + _STRIPES + _POLKA_DOTS + _SWIRLS + _PAISLEYS + _IMAGES
_HALF = len(ALL_TEXTURES) // 2

TRAIN_DRAGGED_TEXTURES = (
    *("red", "green", "yellow", "granite", "polka_dot", "tiger", "rainbow"),
    *("red_and_yellow_stripe", "yellow_and_green_stripe"),
    *("red_and_yellow_polka_dot", "red_and_green_polka_dot", "red_and_blue_polka_dot"),
    *("yellow_and_blue_polka_dot", "green_and_blue_polka_dot"),
    *("red_swirl", "green_swirl", "red_paisley", "yellow_paisley", "green_paisley"),
)
TRAIN_BASE_TEXTURES = (
    *("blue", "purple", "cyan", "olive", "tiles", "wooden", "plastic", "checkerboard"),
    *("red_and_blue_stripe", "yellow_and_blue_stripe", "red_and_purple_stripe"),
    *("yellow_and_purple_stripe", "green_and_purple_stripe", "blue_and_purple_stripe"),
    *("yellow_and_purple_polka_dot", "green_and_purple_polka_dot", "blue_and_purple_polka_dot"),
    *("purple_swirl", "blue_swirl", "blue_paisley"),
)

_TRAIN = Split(TRAIN_SHAPES, TRAIN_CONTAINERS, TRAIN_DRAGGED_TEXTURES, TRAIN_BASE_TEXTURES)
_SPLITS = {
    Level.TRAIN: _TRAIN,
    Level.PLACEMENT: _TRAIN,
    Level.COMBINATORIAL: Split(
        TRAIN_SHAPES, TRAIN_CONTAINERS, TRAIN_BASE_TEXTURES, TRAIN_DRAGGED_TEXTURES
    ),
    Level.NOVEL_OBJECT: Split(
        NOVEL_SHAPES, NOVEL_CONTAINERS, ALL_TEXTURES[:_HALF], ALL_TEXTURES[_HALF:]
    ),
    Level.NOVEL_TASK: Split(
        TRAIN_SHAPES + NOVEL_SHAPES,
        TRAIN_CONTAINERS + NOVEL_CONTAINERS,
        ALL_TEXTURES[:_HALF],
        ALL_TEXTURES[_HALF:],
    ),
}


def split(level: Level, has_base: bool = True) -> Split:
    """Return the shapes and textures of a level of VIMA-Bench.

    Where all textures are allowed, moved objects have one half of them and bases the other; a task
    without bases has all.
    """
    found = _SPLITS[level]
    if has_base or level not in (Level.NOVEL_OBJECT, Level.NOVEL_TASK):
        return found
    return Split(found.dragged_shapes, found.base_shapes, ALL_TEXTURES, ALL_TEXTURES)
