"""Task: put an object into a base, then the object that was its neighbour."""

from __future__ import annotations

import numpy as np

from vima_ros.sim.scene import Scene, SceneObject
from vima_ros.sim.tasks.base import EpisodeSpec
from vima_ros.sim.tasks.layout import XY, LayoutSampler, choose, choose_different, random_scale
from vima_ros.sim.tasks.placement import PlacementGoal, PlacementTask, into
from vima_ros.sim.tasks.prompt_templates import fill, object_asset
from vima_ros.sim.tasks.splits import Split

_CELLS = tuple((x, y) for x in range(3) for y in range(2))
_DIRECTIONS = {"north": (-1, 0), "south": (1, 0), "west": (0, -1), "east": (0, 1)}  # in the image
_BASE = (0.0, 0.25)  # from the workspace's center [m]


class ManipulateOldNeighbor(PlacementTask):
    """Grid of 3 x 2 with five objects and one gap; north is up in the image (-x)."""

    name = "manipulate_old_neighbor"
    templates = (
        "First put {dragged_obj} into {base_obj} then put the object that was previously at its "
        "<direction> into the same {base_obj}.",
    )
    step_limit = 4

    def _draw(
        self, random: np.random.Generator, split: Split, layout: LayoutSampler
    ) -> EpisodeSpec:
        cells = choose_different(random, _CELLS, len(_CELLS) - 1)
        variants = [(shape, t) for shape in split.dragged_shapes for t in split.dragged_textures]
        chosen = dict(zip(cells, choose_different(random, variants, len(cells)), strict=True))
        dragged_cell, neighbour_cell, direction = choose(random, _neighbours(cells))
        names = {dragged_cell: "dragged_obj", neighbour_cell: "neighbour_obj"}
        others = [cell for cell in sorted(cells) if cell not in names]
        names |= {cell: f"distractor_obj_{k}" for k, cell in enumerate(others, 1)}
        base_place, *places = layout.from_center([_BASE, *map(_from_center, sorted(cells))])
        items = {
            cell: SceneObject(names[cell], *chosen[cell], place)
            for cell, place in zip(sorted(cells), places, strict=True)
        }
        shape = choose(random, split.base_shapes)
        texture, scale = choose(random, split.base_textures), random_scale(random, shape)
        base = SceneObject("base_obj", shape, texture, base_place, scale=scale)
        first, second = into(base, "dragged_obj"), into(base, "neighbour_obj")
        return EpisodeSpec(
            Scene((*items.values(), base)),
            fill(self.template, direction=direction),
            {"dragged_obj": object_asset(items[dragged_cell]), "base_obj": object_asset(base)},
            PlacementGoal(
                ((first,), (first, second)),
                tuple(names[cell] for cell in others),
                no_stage_early=True,
            ),
        )


Cell = tuple[int, int]


def _from_center(cell: Cell) -> XY:
    return 0.125 * (cell[0] - 1), 0.25 * (cell[1] - 1)


def _neighbours(cells: tuple[Cell, ...]) -> list[tuple[Cell, Cell, str]]:
    """Return all (cell, neighbouring cell, direction) where both cells have an object."""
    found = []
    for cell in sorted(cells):
        for direction, (dx, dy) in _DIRECTIONS.items():
            beside = (cell[0] + dx, cell[1] + dy)
            if beside in cells:
                found.append((cell, beside, direction))
    return found
