import itertools
import math

import pytest

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.sim.model.scene_model import build_model
from vima_ros.sim.model.shapes import SHAPES
from vima_ros.sim.scene import SCENES, Scene, SceneObject, random_scene, scatter
from vima_ros.specs import EndEffector


def apart(scene):
    return all(
        math.dist(a.position_xy, b.position_xy) > a.scaled_shape.radius + b.scaled_shape.radius
        for a, b in itertools.combinations(scene.objects, 2)
    )


@pytest.mark.parametrize("seed", range(20))
def test_a_random_scene_is_apart_inside_and_the_same_again(seed):
    scene = random_scene(seed, movable=3, fixed=2)
    assert scene == random_scene(seed, movable=3, fixed=2)
    assert [item.scaled_shape.movable for item in scene.objects] == [True] * 3 + [False] * 2
    assert apart(scene)
    workspace = Workspace()
    for item in scene.objects:
        assert workspace.contains(*item.position_xy)


def test_another_seed_is_another_scene():
    assert len({random_scene(seed).objects for seed in range(10)}) == 10


def test_scatter_moves_the_same_objects():
    scene = SCENES["rearrange"]
    moved = scatter(scene, 1)
    assert [item.name for item in moved.objects] == [item.name for item in scene.objects]
    assert apart(moved)
    assert moved != scene
    assert moved.end_effector == scene.end_effector


@pytest.mark.slow
def test_too_many_objects_are_refused_with_their_sizes():
    bowls = tuple(SceneObject(f"b{i}", "bowl", "red", (0.5, 0)) for i in range(12))
    with pytest.raises(VimaError, match="12 objects") as caught:
        scatter(Scene(bowls), 0)
    assert caught.value.code == "NO_ROOM"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"name": "a b"}, "letters"),
        ({"shape": "sphere"}, "block"),
        ({"texture": "black"}, "red"),
        ({"position_xy": (math.nan, 0)}, "finite"),
        ({"position_xy": (1, 2, 3)}, "finite"),
        ({"yaw": math.inf}, "finite"),
    ],
)
def test_a_bad_object_is_refused(change, match):
    fields = {"name": "a", "shape": "block", "texture": "red", "position_xy": (0.5, 0)} | change
    with pytest.raises(VimaError, match=match) as caught:
        SceneObject(**fields)
    assert caught.value.code == "INVALID_VALUE"


def test_names_are_unique_and_looked_up():
    item = SceneObject("a", "block", "red", (0.5, 0))
    with pytest.raises(VimaError, match="unique names"):
        Scene((item, item))
    assert Scene((item,)).object("a") is item
    with pytest.raises(VimaError, match="valid: a") as caught:
        Scene((item,)).object("b")
    assert caught.value.code == "UNKNOWN_OBJECT"


@pytest.mark.parametrize("counts", [(-1, 2), (8, 2)])
def test_a_random_scene_of_impossible_size_is_refused(counts):
    with pytest.raises(VimaError, match="at most 9"):
        random_scene(0, *counts)


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_compiles(name):
    model = build_model(Scene((SceneObject("a", name, "red", (0.5, 0)),)))
    assert (model.body("object/a").dofnum[0] == 6) == SHAPES[name].movable


def test_ready_scenes_have_their_tool_and_objects_apart():
    assert {"put", "rotate", "rearrange", "sweep"} <= set(SCENES)
    for name, scene in SCENES.items():
        sweep = name == "sweep"
        assert scene.end_effector == (EndEffector.SPATULA if sweep else EndEffector.SUCTION)
        assert sweep or apart(scene)
