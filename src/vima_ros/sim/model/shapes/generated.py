"""Generated shapes for training: any number, unlike every registered one.

The name of a shape is all that it depends on, so it is the same in every process.
"""

from __future__ import annotations

import math
import re
import zlib
from functools import cache, lru_cache

import numpy as np

from vima_ros.sim.model import polygons
from vima_ros.sim.model.meshes import extrude
from vima_ros.sim.model.polygons import Outline
from vima_ros.sim.model.shapes.containers import CONTAINER_SHAPES
from vima_ros.sim.model.shapes.generated_outlines import BASE_OUTLINES, OUTLINES
from vima_ros.sim.model.shapes.movable import MOVABLE_SHAPES, flat
from vima_ros.sim.model.shapes.shape import Part, Shape

SHAPES_OF_A_FAMILY = 500
MOVABLE_FAMILIES, BASE_FAMILIES = tuple(OUTLINES), tuple(BASE_OUTLINES)
# Families of which no shape comes near to itself in less than a full turn.
ASYMMETRIC_FAMILIES = ("letter", "polygon", "wedge")
MAX_SIMILARITY = 0.88  # of a generated shape to a registered one; pentagon and hexagon: 0.90
_MAX_SELF_SIMILARITY = 0.85  # of an asymmetric shape, turned by 24 degrees or more
_SYMMETRIES = (8, 6, 5, 4, 3, 2)  # of the families, whole numbers of the grid's angles
_SAME = 0.96  # similarity of a shape to itself after a turn of its symmetry
_MIN_DEPTH = 0.009  # of the best grasp point, so that a pick may err by most of a bin [m]
_SIDES, _HEIGHTS = (0.08, 0.105), (0.024, 0.036)  # of moved shapes: longer side, height [m]
_BASE_SIDES, _BOARD_HEIGHTS, _FRAME_HEIGHT = (0.17, 0.21), (0.02, 0.035), 0.002  # [m]
_RADII, _ANGLES = 32, 120  # of the polar grid by which outlines are compared
_REACH = 1.6  # of that grid, in square roots of the area
_NAME = re.compile(rf"generated_({'|'.join(MOVABLE_FAMILIES + BASE_FAMILIES)})_(\d{{3}})")


def generated_shape_name(family: str, number: int) -> str:
    """Return the name of a generated shape: ``number`` from 0 to 499 of ``family``."""
    return f"generated_{family}_{number:03d}"


def is_generated_shape(name: str) -> bool:
    """Return True for the name of a generated shape."""
    return _NAME.fullmatch(name) is not None


def is_asymmetric(name: str) -> bool:
    """Return True if no turn of less than 24 degrees from a full one maps a shape near itself."""
    found = _NAME.fullmatch(name)
    return found is not None and found[1] in ASYMMETRIC_FAMILIES


@lru_cache(maxsize=4096)
def generated_shape(name: str) -> Shape:
    """Return the shape of a name for which ``is_generated_shape`` holds.

    Movable shapes are as high as VIMA-Bench's flat ones; a "frame" is only drawn on the table, a
    "board" is solid. The origin is the centroid of the area.
    """
    outline = generated_outline(name)
    random, family = _random(name, "solid"), _family(name)
    tile, turn = float(random.uniform(0.06, 0.12)), float(random.uniform(0.0, 2.0 * math.pi))
    if family in MOVABLE_FAMILIES:
        height = float(random.uniform(*_HEIGHTS))
        return flat(outline, height, tile, turn, symmetry=_symmetry(name))
    board = family == "board"
    height = float(random.uniform(*_BOARD_HEIGHTS)) if board else _FRAME_HEIGHT
    parts = (Part("prism", (height,), corners=outline[0]),) if board else ()
    return Shape(
        parts, extrude(outline, height, tile, turn), outline, height, "container", movable=False
    )


@lru_cache(maxsize=8192)
def generated_outline(name: str) -> Outline:
    """Return the outline of a generated shape [m], its centroid at the origin.

    Drawn until it is unlike all registered shapes, and, of an asymmetric family, unlike itself
    turned; a moved shape also until a suction cup finds a place on it.
    """
    family, random = _family(name), _random(name, "outline")
    movable = family in MOVABLE_FAMILIES
    draw = OUTLINES[family] if movable else BASE_OUTLINES[family]
    while True:
        outline = _sized(
            draw(random), float(random.uniform(*(_SIDES if movable else _BASE_SIDES)))
        )
        if movable and _max_depth(outline) < _MIN_DEPTH:
            continue
        cells = polar_cells(outline)
        if family in ASYMMETRIC_FAMILIES and _max_self_similarity(cells) > _MAX_SELF_SIMILARITY:
            continue
        if similarity(cells, _registered_cells()) <= MAX_SIMILARITY:
            return outline


@lru_cache(maxsize=8192)
def generated_cells(name: str) -> np.ndarray:
    """Return the ``polar_cells`` of a generated shape."""
    return polar_cells(generated_outline(name)).astype(np.uint8)


def similarity(cells: np.ndarray, others: np.ndarray) -> float:
    """Return the largest IoU of an outline with any of ``others`` (n, 32, 120) at any turn.

    ``cells`` (32, 120): see ``polar_cells``. All are compared at the same area.
    """
    return float(_ious(cells, others).max())


def polar_cells(outline: Outline) -> np.ndarray:
    """Return 1 where a polar grid about the centroid is inside an outline, else 0: (32, 120).

    The grid reaches 1.6 times the square root of the outline's area.
    """
    centre, area = _centroid(outline)
    radii = _REACH * math.sqrt(area) * (np.arange(_RADII) + 0.5) / _RADII
    angles = 2.0 * math.pi * np.arange(_ANGLES) / _ANGLES
    x = (centre[0] + radii[:, None] * np.cos(angles)).reshape(-1, 1)
    y = (centre[1] + radii[:, None] * np.sin(angles)).reshape(-1, 1)
    inside = np.zeros(len(x), bool)
    for polygon in outline:  # a ray towards +x crosses it an odd number of times
        (x0, y0), (x1, y1) = np.array(polygon).T, np.roll(np.array(polygon), -1, axis=0).T
        slope = (x1 - x0) / np.where(y1 == y0, 1.0, y1 - y0)
        crossed = ((y < y0) != (y < y1)) & (x - x0 < slope * (y - y0))
        inside ^= crossed.sum(axis=1) % 2 == 1
    return inside.reshape(_RADII, _ANGLES).astype(np.float32)


@cache
def _registered_cells() -> np.ndarray:
    """Return the cells of VIMA-Bench's shapes, of levels 3 and 4 too, and of their mirrors."""
    shapes = [*MOVABLE_SHAPES.values(), *CONTAINER_SHAPES.values()]
    cells = np.stack([polar_cells(shape.outline) for shape in shapes])
    return np.concatenate([cells, cells[..., ::-1]])


def _ious(cells: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the IoU (120, n) of an outline, turned by 0, 3, 6, … degrees, with ``others``."""
    twice = np.concatenate([cells, cells], axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(twice, _ANGLES, axis=1)  # (32, 121, 120)
    turned = windows[:, :_ANGLES].swapaxes(0, 1).reshape(_ANGLES, -1)
    areas = np.repeat(np.arange(_RADII, dtype=np.float32) + 0.5, _ANGLES)  # of the grid's cells
    weighted = others.reshape(len(others), -1) * areas
    both = turned @ weighted.T
    return both / (float(turned[0] @ areas) + weighted.sum(axis=1) - both)


def _max_self_similarity(cells: np.ndarray) -> float:
    """Return the largest similarity of a shape to itself turned by 24 degrees or more."""
    apart = 24 * _ANGLES // 360
    return float(_ious(cells, cells[None])[apart : 1 - apart].max())


def _symmetry(name: str) -> float:
    """Return the smallest turn [rad] that maps a shape to itself: a full one if no other does."""
    cells = generated_cells(name)
    ious = _ious(cells, cells[None])[:, 0]
    for count in _SYMMETRIES:
        if ious[_ANGLES // count] > _SAME:
            return 2.0 * math.pi / count
    return 2.0 * math.pi


def _sized(outline: Outline, side: float) -> Outline:
    """Return an outline whose bounding box is ``side`` [m] long, its centroid at the origin."""
    centre, _ = _centroid(outline)
    scale = side / float(np.ptp(np.array(outline[0]), axis=0).max())
    return tuple(
        tuple((scale * (x - centre[0]), scale * (y - centre[1])) for x, y in polygon)
        for polygon in outline
    )


def _centroid(outline: Outline) -> tuple[np.ndarray, float]:
    """Return the centroid (2,) of an outline and its area; holes count negative."""
    moment, area = np.zeros(2), 0.0
    for polygon in outline:
        a = np.array(polygon)
        b = np.roll(a, -1, axis=0)
        cross = a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1]
        area += float(cross.sum()) / 2
        moment += ((a + b) * cross[:, None]).sum(axis=0) / 6
    return moment / area, area


def _max_depth(outline: Outline) -> float:
    """Return the largest distance of a point of an outline from its edges [m]."""
    corners = np.array(outline[0])
    grid = np.linspace(corners.min(axis=0), corners.max(axis=0), 24)
    points = np.stack(np.meshgrid(*grid.T), axis=-1).reshape(-1, 2)
    return float(polygons.depth(points, outline).max())


def _family(name: str) -> str:
    found = _NAME.fullmatch(name)
    assert found is not None, name
    return found[1]


def _random(name: str, use: str) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(name.encode()), zlib.crc32(use.encode())])
