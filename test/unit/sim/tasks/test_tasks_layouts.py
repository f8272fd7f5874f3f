"""What each task shows and asks for fits together."""

import math
from collections import Counter

import numpy as np
import pytest
from task_samples import colour, prompt_objects, samples

from vima_ros.sim.model.shapes import SHAPES
from vima_ros.sim.model.textures import TEXTURES
from vima_ros.sim.scene import SceneObject
from vima_ros.sim.tasks import TASKS
from vima_ros.sim.tasks.base import Level
from vima_ros.sim.tasks.pick_in_order_then_restore import floor_height
from vima_ros.sim.tasks.prompt_templates import pattern
from vima_ros.sim.tasks.splits import (
    NOVEL_CONTAINERS,
    TRAIN_CONTAINERS,
)


@pytest.mark.parametrize("name", ["novel_noun", "novel_adj", "novel_adj_and_noun"])
def test_invented_words_are_shown_by_shape_only(name):
    for episode in samples(name):
        for placeholder, asset in episode.assets.items():
            (item,) = asset.scene.objects
            if placeholder.startswith(("dragged", "base")):
                assert (item.texture, item.height_factor) == ("grey", 1.0)
            else:
                assert item.texture != "grey"


@pytest.mark.parametrize("name", ["novel_adj", "novel_adj_and_noun"])
def test_the_examples_tell_which_object_is_meant(name):
    """All three pairs and the pair on the table differ by the same property, the same way."""

    def difference(more, less):
        assert more.shape == less.shape
        if more.texture == less.texture:
            assert abs(more.height_factor - less.height_factor) == pytest.approx(2.0)
            assert 0.3 <= min(more.height_factor, less.height_factor) <= 0.4
            return "taller" if more.height_factor > less.height_factor else "shorter"
        assert {more.texture, less.texture} == {
            colour(less.texture),
            f"dark_{colour(more.texture)}",
        }
        return "darker" if more.texture.startswith("dark_") else "lighter"

    found = Counter()
    for episode in samples(name, None, range(60)):
        shown = {key: asset.scene.objects[0] for key, asset in episode.assets.items()}
        pairs = {
            difference(shown[f"demo_blicker_obj_{k}"], shown[f"demo_less_blicker_obj_{k}"])
            for k in (1, 2, 3)
        }
        dragged, other = episode.goal.objects[0], episode.goal.distractors[0]
        pair = [episode.scene.object(dragged), episode.scene.object(other)]
        less = " less " in episode.prompt
        assert pairs == {difference(*reversed(pair) if less else pair)}
        found[pairs.pop(), less] += 1
    assert len(found) == 8
    assert set(TEXTURES) > {"dark_red"}


def test_scene_understanding_can_be_understood():
    """The named textures single out one object of the image and one base on the table."""
    for episode in samples("scene_understanding", None, range(40)):
        found = pattern(TASKS["scene_understanding"].template).fullmatch(episode.prompt)
        wanted, base = (found[k].replace(" ", "_") for k in ("texture", "base_texture"))
        scene = episode.assets["scene"].scene.objects
        assert [item.texture == wanted for item in scene] == [True, False]
        table = episode.scene.objects
        (target,) = [i for i in table if i.texture == wanted and i.shape == scene[0].shape]
        assert target.name == "dragged_obj"
        assert [item.name for item in table if item.texture == base] == ["base_obj"]


def test_manipulate_old_neighbor_names_the_direction_in_the_image():
    steps = {"north": (-0.125, 0), "south": (0.125, 0), "west": (0, -0.25), "east": (0, 0.25)}
    seen = set()
    for episode in samples("manipulate_old_neighbor", None, range(40)):
        direction = pattern(TASKS[episode.task].template).fullmatch(episode.prompt)["direction"]
        seen.add(direction)
        start = episode.scene.object("dragged_obj").position_xy
        beside = episode.scene.object("neighbour_obj").position_xy
        assert np.subtract(beside, start) == pytest.approx(steps[direction])
    assert seen == set(steps)


def test_rotate_asks_for_a_clockwise_turn():
    angles = set()
    for episode in samples("rotate", None, range(40)):
        degrees = int(pattern(TASKS["rotate"].template).fullmatch(episode.prompt)["angle"])
        item, (goal,) = episode.scene.object("dragged_obj"), episode.goal.stages[0]
        assert goal.position_xy == item.position_xy
        assert goal.yaw - item.yaw == pytest.approx(-math.radians(degrees))
        angles.add(degrees)
    assert angles == {30, 60, 90, 120, 150}


@pytest.mark.parametrize("name", ["same_shape", "same_texture"])
def test_what_is_the_same_as_the_base_goes_into_it(name):
    def look(item):
        return item.scaled_shape.profile if name == "same_shape" else item.texture

    for level in TASKS[name].levels:
        for episode in samples(name, level, range(40)):
            base, *others = episode.scene.objects
            same = tuple(item.name for item in others if look(item) == look(base))
            assert same == episode.goal.objects
            assert len(same) == 2
            places = {goal.position_xy for goal in episode.goal.stages[0]}
            assert places == {base.position_xy}


def test_twist_means_only_the_objects_of_the_texture():
    for episode in samples("twist", None, range(60)):
        words = pattern(TASKS["twist"].template).fullmatch(episode.prompt)["texture"]
        texture = words.replace(" ", "_")
        meant = tuple(item.name for item in episode.scene.objects if item.texture == texture)
        assert meant == episode.goal.objects
        assert all(item.texture != texture for item in prompt_objects(episode))


def test_twist_shows_the_angle_that_it_asks_for():
    angles = set()
    for episode in samples("twist", None, range(60)):
        (stage,) = episode.goal.stages
        turns = {goal.yaw - episode.scene.object(goal.object).yaw for goal in stage}
        for k in (1, 2, 3):
            before, after = (
                episode.assets[f"{when}_twist_{k}"].scene.objects[0]
                for when in ("before", "after")
            )
            assert before.position_xy == after.position_xy
            turns.add(after.yaw - before.yaw)
        assert np.ptp(list(turns)) < 1e-9
        angles.add(round(-math.degrees(turns.pop())))
    assert angles == {30, 60, 90, 120, 150}


def test_follow_order_shows_its_moves_and_stacks_on_top():
    heights = set()
    for episode in samples("follow_order", None, range(60)):
        frames = [episode.assets[f"frame_{k}"].scene for k in range(3)]
        for before, after, (goal,) in zip(frames, frames[1:], episode.goal.stages, strict=False):
            for item in before.objects:
                now = after.object(item.name)
                if item.name != goal.object:
                    assert (now.position_xy, now.base_height) == (
                        item.position_xy,
                        item.base_height,
                    )
                    continue
                assert now.position_xy == goal.position_xy != item.position_xy
                below = [o for o in after.objects if o.position_xy == now.position_xy]
                assert now.base_height == max(o.base_height for o in below)
                assert sum(o.base_height == now.base_height for o in below) == 1
                above = [o for o in before.objects if o.position_xy == item.position_xy]
                assert item.base_height == max(o.base_height for o in above)
                heights.add(len(below))
    assert heights == {1, 2, 3}


def test_rearrange_hides_half_of_the_distractors_under_a_goal():
    blocked = []
    for episode in samples("rearrange", None, range(200)):
        (stage,) = episode.goal.stages
        assert set(episode.assets["scene"].scene.objects) == {
            SceneObject(
                goal.object,
                episode.scene.object(goal.object).shape,
                episode.scene.object(goal.object).texture,
                goal.position_xy,
                goal.yaw,
            )
            for goal in stage
        }
        for name in episode.goal.distractors:
            assert len(stage) == 1
            blocked.append(stage[0].position_xy == episode.scene.object(name).position_xy)
    assert 0.3 < np.mean(blocked) < 0.7
    assert 55 < len(blocked) < 105


def test_restoring_goes_back_to_the_start():
    counts = set()
    for episode in samples("rearrange_then_restore", None, range(30)):
        there, back = episode.goal.stages
        assert sorted(goal.object for goal in back) == [goal.object for goal in there]
        counts.add(len(back))
        for goal in back:
            item = episode.scene.object(goal.object)
            assert (goal.position_xy, goal.yaw) == (item.position_xy, item.yaw)
    assert counts == {1, 2, 3}


def test_pick_in_order_starts_in_its_original_container():
    for episode in samples("pick_in_order_then_restore"):
        start = episode.scene.object("dragged_obj").position_xy
        places = [goal.position_xy for (goal,) in episode.goal.stages]
        named = [episode.scene.object(f"base_obj_{k}").position_xy for k in (1, 2)]
        assert places == [*named, start]
        assert len(set(places)) == 3
    level = Level.NOVEL_OBJECT
    shapes = {
        o.shape for e in samples("pick_in_order_then_restore", level) for o in e.scene.objects
    }
    assert shapes & set(NOVEL_CONTAINERS) == {"pallet"}
    heights = {name: floor_height(SHAPES[name]) for name in (*TRAIN_CONTAINERS, "pallet")}
    assert heights == pytest.approx(
        {"bowl": 0, "frame": 0, "container": 0.006, "square": 0, "pallet": 0.035}
    )


@pytest.mark.parametrize("name", ["sweep_without_exceeding", "sweep_without_touching"])
def test_blocks_are_born_in_two_patches_apart(name):
    for episode in samples(name, None, range(40)):
        goal, places = episode.goal, {}
        for kind in ("swept", "distractors"):
            places[kind] = [episode.scene.object(n).position_xy for n in getattr(goal, kind)]
            assert {math.copysign(1, y) for _, y in places[kind]} in ({1.0}, {-1.0})
        everywhere = places["swept"] + places["distractors"]
        assert min(x for x, _ in everywhere) >= 0.57
        assert places["swept"][0][1] * places["distractors"][0][1] < 0
        for k, place in enumerate(everywhere):
            assert all(math.dist(place, other) >= 0.045 for other in everywhere[:k])
        word = episode.prompt.split()[1]
        numbers = {"any": 1, "one": 1, "two": 2, "three": 3, "all": len(goal.swept)}
        assert goal.count == numbers[word] <= len(goal.swept)
