"""Task: rotate an object clockwise by an angle."""

from __future__ import annotations

import math

import numpy as np

from vima_ros.sim.scene import Scene
from vima_ros.sim.tasks.base import EpisodeSpec
from vima_ros.sim.tasks.layout import LayoutSampler, choose, choose_different
from vima_ros.sim.tasks.placement import YAW_TOLERANCE, PlaceGoal, PlacementGoal, PlacementTask
from vima_ros.sim.tasks.prompt_templates import fill, object_asset
from vima_ros.sim.tasks.splits import Split

ANGLES = (30, 60, 90, 120, 150)  # clockwise seen from above [degrees]


class Rotate(PlacementTask):
    """Rotation of a shape without rotational symmetry; one distractor."""

    name = "rotate"
    templates = ("Rotate the {dragged_obj} <angle> degrees.",)
    step_limit = 3
    has_base = False

    def _draw(
        self, random: np.random.Generator, split: Split, layout: LayoutSampler
    ) -> EpisodeSpec:
        textures = choose_different(random, split.dragged_textures, 2)
        dragged, distractor = (
            layout.place(name, choose(random, split.asymmetric_shapes), texture)
            for name, texture in zip(("dragged_obj", "distractor_obj"), textures, strict=True)
        )
        angle = choose(random, ANGLES)
        goal = PlaceGoal(
            dragged.name,
            dragged.position_xy,
            dragged.yaw - math.radians(angle),
            yaw_tolerance=YAW_TOLERANCE,
        )
        return EpisodeSpec(
            Scene((dragged, distractor)),
            fill(self.template, angle=angle),
            {"dragged_obj": object_asset(dragged)},
            PlacementGoal(((goal,),), (distractor.name,)),
        )
