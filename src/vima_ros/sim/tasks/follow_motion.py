"""Task: move one object along the positions in three images."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from vima_ros.sim.scene import Scene, SceneObject
from vima_ros.sim.tasks.base import EpisodeSpec
from vima_ros.sim.tasks.layout import XY, LayoutSampler, choose, choose_different
from vima_ros.sim.tasks.placement import DistractorCheck, PlaceGoal, PlacementGoal, PlacementTask
from vima_ros.sim.tasks.prompt_templates import object_asset, scene_asset
from vima_ros.sim.tasks.splits import Level, Split

_RADIUS, _CORNERS = 0.19, 5  # of a pentagon, its first corner on +x [m]
_MOVES = 2


class FollowMotion(PlacementTask):
    """Motion between corners of a pentagon about the workspace's center.

    There another distractor stands than in the images.
    """

    name = "follow_motion"
    templates = ("Follow this motion for {dragged_obj}: {frame_0} {frame_1} {frame_2}.",)
    step_limit = 2
    has_base = False
    levels = (Level.NOVEL_TASK,)

    def _draw(
        self, random: np.random.Generator, split: Split, layout: LayoutSampler
    ) -> EpisodeSpec:
        center = layout.workspace.center
        shapes = choose_different(random, split.dragged_shapes, 3)
        textures = choose_different(random, split.dragged_textures, 3)
        corner = int(random.integers(_CORNERS))
        dragged = SceneObject("dragged_obj", shapes[0], textures[0], _corner(center, corner))
        distractor, shown = (
            SceneObject("distractor_obj", shape, texture, center)
            for shape, texture in zip(shapes[1:], textures[1:], strict=True)
        )
        assets = {"dragged_obj": object_asset(dragged), "frame_0": scene_asset(dragged, shown)}
        stages = []
        for k in range(1, _MOVES + 1):
            corner += choose(random, (-1, 1))
            place = _corner(center, corner)
            stages.append((PlaceGoal(dragged.name, place, 0.0),))
            assets[f"frame_{k}"] = scene_asset(replace(dragged, position_xy=place), shown)
        goal = PlacementGoal(
            tuple(stages), (distractor.name,), DistractorCheck.NEVER, every_action=True
        )
        return EpisodeSpec(Scene((dragged, distractor)), self.template, assets, goal)


def _corner(center: XY, index: int) -> XY:
    angle = 2.0 * math.pi * index / _CORNERS
    return center[0] + _RADIUS * math.cos(angle), center[1] + _RADIUS * math.sin(angle)
