"""Task: repeat two moves shown in three images; objects may be stacked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vima_ros.sim.scene import Scene, SceneObject
from vima_ros.sim.tasks.base import EpisodeSpec
from vima_ros.sim.tasks.layout import XY, LayoutSampler, choose, choose_different
from vima_ros.sim.tasks.placement import DistractorCheck, PlaceGoal, PlacementGoal, PlacementTask
from vima_ros.sim.tasks.prompt_templates import scene_asset
from vima_ros.sim.tasks.splits import Split

_PLACES = ((0.0, -0.25), (0.0, 0.0), (0.0, 0.25))  # from the workspace's center [m]
_MOVES = 2

Stacks = list[list[SceneObject]]  # of each place, from the bottom


class FollowOrder(PlacementTask):
    """Stacking of three objects of one shape in a row; every action must be the next move."""

    name = "follow_order"
    templates = ("Stack objects in this order {frame_0} {frame_1} {frame_2}.",)
    step_limit = 4
    has_base = False

    def _draw(
        self, random: np.random.Generator, split: Split, layout: LayoutSampler
    ) -> EpisodeSpec:
        shape = choose(random, split.dragged_shapes)
        places = layout.from_center(_PLACES)
        textures = choose_different(random, split.dragged_textures, len(places))
        stacks: Stacks = []
        for k, (texture, place) in enumerate(zip(textures, places, strict=True), 1):
            layout.occupy(shape, place)
            stacks.append([SceneObject(f"stacked_obj_{k}", shape, texture, place)])
        others = [other for other in split.dragged_shapes if other != shape]
        variant = choose(random, others), choose(random, split.dragged_textures)
        distractor = layout.place("distractor_obj", *variant)
        items = tuple(stack[0] for stack in stacks)
        assets, stages = {"frame_0": scene_asset(*items)}, []
        for k in range(1, _MOVES + 1):
            moved, place = _move(random, stacks, places)
            stages.append((PlaceGoal(moved, place, 0.0),))
            assets[f"frame_{k}"] = scene_asset(*_objects(stacks, places))
        goal = PlacementGoal(
            tuple(stages),
            (distractor.name,),
            DistractorCheck.NEVER,
            every_action=True,
        )
        return EpisodeSpec(Scene((*items, distractor)), self.template, assets, goal)


def _move(random: np.random.Generator, stacks: Stacks, places: Sequence[XY]) -> tuple[str, XY]:
    """Move the top of one stack to another; return its name and the new position."""
    indices = range(len(stacks))
    moves = [(a, b) for a in indices for b in indices if stacks[a] and a != b]
    source, target = choose(random, moves)
    moved = stacks[source].pop()
    stacks[target].append(moved)
    return moved.name, places[target]


def _objects(stacks: Stacks, places: Sequence[XY]) -> Sequence[SceneObject]:
    """Return all objects at their current poses, stack by stack from the bottom."""
    found = []
    for place, stack in zip(places, stacks, strict=True):
        height = 0.0
        for item in stack:
            found.append(
                SceneObject(item.name, item.shape, item.texture, place, base_height=height)
            )
            height += item.scaled_shape.height
    return found
