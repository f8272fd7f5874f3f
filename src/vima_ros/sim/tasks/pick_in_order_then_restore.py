"""Task: move an object to two bases in order and back to its own."""

from __future__ import annotations

import numpy as np

from vima_ros.sim.model.shapes import Shape
from vima_ros.sim.scene import Scene, SceneObject
from vima_ros.sim.tasks.base import EpisodeSpec
from vima_ros.sim.tasks.layout import LayoutSampler, choose, choose_different, random_scale
from vima_ros.sim.tasks.placement import PlacementGoal, PlacementTask, into
from vima_ros.sim.tasks.prompt_templates import object_asset
from vima_ros.sim.tasks.splits import Split

# From the workspace's center [m]
_PLACES = tuple((x, y) for x in (-0.125, 0.125) for y in (-0.25, 0.0, 0.25))
_TOLERANCE = 0.05  # [m]
_DROP = 0.005  # initial height of the object above the floor of its base [m]


class PickInOrderThenRestore(PlacementTask):
    """Six bases of one shape and different textures in two rows, with the object in one."""

    name = "pick_in_order_then_restore"
    templates = (
        "Put {dragged_obj} into {base_obj_1} then {base_obj_2}. "
        "Finally restore it into its original container.",
    )
    step_limit = 4

    def _draw(
        self, random: np.random.Generator, split: Split, layout: LayoutSampler
    ) -> EpisodeSpec:
        shape = choose(random, [name for name in split.base_shapes if name != "pan"])
        textures = choose_different(random, split.base_textures, len(_PLACES))
        scale = random_scale(random, shape)
        names = (
            "base_obj_0",
            "base_obj_1",
            "base_obj_2",
            *(f"distractor_obj_{k}" for k in (1, 2, 3)),
        )
        places = choose_different(random, layout.from_center(_PLACES), len(_PLACES))
        bases = [
            SceneObject(name, shape, texture, place, scale=scale)
            for name, texture, place in zip(names, textures, places, strict=True)
        ]
        variant = choose(random, split.dragged_shapes), choose(random, split.dragged_textures)
        height = floor_height(bases[0].scaled_shape) + _DROP
        dragged = SceneObject("dragged_obj", *variant, places[0], base_height=height)
        order = (bases[1], bases[2], bases[0])
        return EpisodeSpec(
            Scene((dragged, *bases)),
            self.template,
            {item.name: object_asset(item) for item in (dragged, *bases[1:3])},
            PlacementGoal(
                tuple((into(base, dragged.name, _TOLERANCE),) for base in order),
                names[3:],
                no_stage_early=True,
            ),
        )


def floor_height(base: Shape) -> float:
    """Return the height of the floor at the centre of a base [m]; 0 is the table."""
    tops = [0.0]
    for part in base.parts:
        x, y, z = part.position
        if part.kind == "box" and not any(part.euler):
            half_x, half_y, half_z = part.size
            if abs(x) < half_x and abs(y) < half_y:
                tops.append(base.rest_height + z + half_z)
        elif part.kind == "prism":  # a generated board, about its centroid
            tops.append(base.rest_height + z + part.size[0])
    return max(tops)
