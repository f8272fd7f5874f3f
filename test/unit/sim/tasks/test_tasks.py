import json
import math
import re
import subprocess
import sys
from collections import Counter
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from task_samples import colour, prompt_objects, samples

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.sim.model.shapes import SHAPES
from vima_ros.sim.model.textures import BASE_TEXTURES
from vima_ros.sim.tasks import TASKS, find_task
from vima_ros.sim.tasks.base import Level, TaskOutcome, WorldState
from vima_ros.sim.tasks.layout import LayoutSampler
from vima_ros.sim.tasks.prompt_templates import fill, pattern
from vima_ros.sim.tasks.splits import (
    ALL_TEXTURES,
    NOVEL_CONTAINERS,
    NOVEL_SHAPES,
    TRAIN_BASE_TEXTURES,
    TRAIN_CONTAINERS,
    TRAIN_DRAGGED_TEXTURES,
    TRAIN_SHAPES,
    split,
)
from vima_ros.specs import AssetKind, EndEffector

PLACED_FREELY = (
    *("visual_manipulation", "scene_understanding", "rotate", "rearrange", "twist", "novel_noun"),
    *("novel_adj", "novel_adj_and_noun", "same_shape", "same_texture", "rearrange_then_restore"),
)
# Fixed and movable objects (VIMA-Bench).
COUNTS = {
    "visual_manipulation": {(1, 2), (2, 1)},
    "scene_understanding": {(1, 2), (2, 1)},
    "rotate": {(0, 2)},
    "rearrange": {(0, 2), (0, 3)},
    "rearrange_then_restore": {(0, 2), (0, 3)},
    "novel_adj": {(1, 2)},
    "novel_noun": {(1, 2), (2, 1)},
    "novel_adj_and_noun": {(1, 4), (2, 3)},
    "twist": {(0, 3)},
    "follow_motion": {(0, 2)},
    "follow_order": {(0, 4)},
    "sweep_without_exceeding": {(2, 2), (2, 4), (2, 6)},
    "sweep_without_touching": {(2, 2), (2, 4), (2, 6)},
    "same_texture": {(1, 3)},
    "same_shape": {(1, 3)},
    "manipulate_old_neighbor": {(1, 5)},
    "pick_in_order_then_restore": {(6, 1)},
}
LEVELS = [(name, level) for name, task in TASKS.items() for level in task.levels]

each_task = pytest.mark.parametrize("name", TASKS)
each_level = pytest.mark.parametrize(("name", "level"), LEVELS)


def test_there_are_seventeen_tasks_thirteen_to_train_on():
    assert set(TASKS) == set(COUNTS)
    levels = Counter(level for task in TASKS.values() for level in task.levels)
    assert [levels[level] for level in Level] == [13, 13, 13, 12, 4, 12]
    spatula = {name for name in TASKS if TASKS[name].end_effector == EndEffector.SPATULA}
    assert spatula == {"sweep_without_exceeding", "sweep_without_touching"}


@each_task
def test_a_seed_is_an_episode(name):
    first, again, other = (TASKS[name].sample(seed) for seed in (3, 3, 4))
    assert first == again
    assert first.scene != other.scene
    with pytest.raises(FrozenInstanceError):
        first.seed = 4


@pytest.mark.slow
def test_a_fresh_process_samples_the_same():
    code = "from vima_ros.sim.tasks import TASKS; import json; print(json.dumps("
    code += "[repr(t.sample(s, v)) for t in TASKS.values() for v in t.levels for s in (0, 7)]))"
    command = [sys.executable, "-c", code]
    paths = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "12345"}
    printed = subprocess.run(command, capture_output=True, check=True, env=paths).stdout
    here = [repr(TASKS[name].sample(seed, level)) for name, level in LEVELS for seed in (0, 7)]
    assert json.loads(printed) == here


@each_level
def test_levels_have_their_own_episodes(name, level):
    others = [other for other in TASKS[name].levels if other != level]
    episode = TASKS[name].sample(0, level)
    assert episode.level == level
    assert all(episode.scene != TASKS[name].sample(0, other).scene for other in others)


@each_level
def test_the_prompt_is_the_filled_template_and_names_its_images(name, level):
    for episode in samples(name, level, range(5)):
        forms = [form for form in TASKS[name].templates if pattern(form).fullmatch(episode.prompt)]
        assert len(forms) >= 1, episode.prompt
        assert "<" not in episode.prompt
        assert "[" not in episode.prompt
        named = re.findall(r"{(\w+)}", episode.prompt)
        assert list(episode.assets) == list(dict.fromkeys(named))
        for asset in episode.assets.values():
            assert asset.kind == AssetKind.SCENE or len(asset.scene.objects) == 1


@pytest.mark.slow
@each_task
def test_all_forms_of_a_prompt_come_up(name):
    forms = {
        form
        for episode in samples(name, None, range(60))
        for form in TASKS[name].templates
        if pattern(form).fullmatch(episode.prompt)
    }
    assert forms == set(TASKS[name].templates)


@each_task
def test_a_task_has_as_many_objects_as_in_vima_bench(name):
    found = {
        (sum(not item.scaled_shape.movable for item in scene.objects),
         sum(item.scaled_shape.movable for item in scene.objects))
        for scene in (episode.scene for episode in samples(name, None, range(60)))
    }  # fmt: skip
    assert found == COUNTS[name]


@each_level
def test_everything_is_inside_the_workspace(name, level):
    workspace = Workspace()
    for episode in samples(name, level):
        for item in episode.scene.objects:
            radius = 0.03 if item.scaled_shape.role == "sweep" else item.scaled_shape.size[0] / 2
            (x, y), limit = item.position_xy, radius if item.scaled_shape.movable else 0.0
            assert workspace.contains(x - limit, y - limit), item
            assert workspace.contains(x + limit, y + limit), item


@pytest.mark.parametrize("name", PLACED_FREELY)
def test_free_objects_are_apart(name):
    for episode in samples(name):
        items = episode.scene.objects
        goals = {goal.position_xy for stage in episode.goal.stages for goal in stage}
        for k, item in enumerate(items):
            for other in items[:k]:
                distance = math.dist(item.position_xy, other.position_xy)
                on_goal = {item.position_xy, other.position_xy} & goals
                least = item.scaled_shape.radius + other.scaled_shape.radius
                assert distance > least or (name.startswith("rearrange") and on_goal)


@each_level
def test_nothing_is_solved_at_the_start(name, level):
    for episode in samples(name, level):
        result = TASKS[name].success_criterion(episode).update(WorldState.at_start(episode.scene))
        every_action = getattr(episode.goal, "every_action", False)
        assert result.outcome == (TaskOutcome.FAILURE if every_action else TaskOutcome.RUNNING), (
            result
        )


def test_the_splits_are_disjoint_where_they_have_to_be():
    train, swapped = split(Level.TRAIN), split(Level.COMBINATORIAL)
    assert split(Level.PLACEMENT) == train
    assert not set(train.dragged_textures) & set(train.base_textures)
    assert (swapped.dragged_textures, swapped.base_textures) == (
        train.base_textures,
        train.dragged_textures,
    )
    assert swapped.dragged_shapes == train.dragged_shapes
    assert (len(TRAIN_DRAGGED_TEXTURES), len(TRAIN_BASE_TEXTURES)) == (19, 20)
    novel = split(Level.NOVEL_OBJECT)
    assert not set(novel.dragged_shapes) & set(train.dragged_shapes)
    assert not set(novel.base_shapes) & set(train.base_shapes)
    assert not set(novel.dragged_textures) & set(novel.base_textures)
    assert set(novel.dragged_textures) | set(novel.base_textures) == set(ALL_TEXTURES)
    assert split(Level.NOVEL_OBJECT, has_base=False).dragged_textures == ALL_TEXTURES
    unseen = set(ALL_TEXTURES) - set(TRAIN_DRAGGED_TEXTURES) - set(TRAIN_BASE_TEXTURES)
    assert len(unseen) == 10
    assert {"brick", "magma", "orange", "pink", "yellow_swirl", "purple_paisley"} <= unseen


def test_the_splits_name_what_there_is():
    assert set(ALL_TEXTURES) == set(BASE_TEXTURES)
    assert len(ALL_TEXTURES) == 49
    assert set(TRAIN_DRAGGED_TEXTURES + TRAIN_BASE_TEXTURES) <= set(ALL_TEXTURES)
    for shapes, role in (
        (TRAIN_SHAPES + NOVEL_SHAPES, "movable"),
        (TRAIN_CONTAINERS + NOVEL_CONTAINERS, "container"),
    ):
        assert {SHAPES[name].role for name in shapes} == {role}
    for level in set(Level) - {Level.GENERATED}:
        for name in split(level).asymmetric_shapes:
            assert SHAPES[name].symmetry == pytest.approx(2 * math.pi)
    asymmetric = {"letter_a", "letter_e", "letter_g", "letter_m", "letter_t", "letter_v"}
    assert set(split(Level.TRAIN).asymmetric_shapes) == asymmetric | {"heart", "l_block"}
    assert split(Level.NOVEL_OBJECT).asymmetric_shapes == ("letter_r",)


@pytest.mark.parametrize(
    ("name", "level"), [pair for pair in LEVELS if pair[1] != Level.GENERATED]
)
def test_a_level_draws_from_its_split(name, level):
    allowed = split(level, TASKS[name].has_base)
    shapes = set(allowed.dragged_shapes + allowed.base_shapes)
    if name == "same_shape":
        shapes = shapes - {"block"} | {"shorter_block"}
    if name == "same_texture":
        allowed_textures = allowed_base = set(allowed.textures)
    else:
        allowed_textures, allowed_base = set(allowed.dragged_textures), set(allowed.base_textures)
    for episode in samples(name, level):
        for item in episode.scene.objects + tuple(prompt_objects(episode)):
            textures = {*allowed.textures, "grey"}
            if item.name.startswith(("dragged", "neighbour", "swept", "stacked")):
                textures = allowed_textures | {"grey"}
            elif item.name.startswith(("base_obj", "bounds", "constraint")):
                textures = allowed_base | {"grey"}
            assert colour(item.texture) in textures, item
            assert item.scaled_shape.role == "sweep" or item.shape in shapes, item


def test_unknown_names_are_refused():
    with pytest.raises(VimaError, match="valid: visual_manipulation") as caught:
        find_task("put")
    assert caught.value.code == "UNKNOWN_TASK"
    with pytest.raises(VimaError, match="valid: novel_task_generalization") as caught:
        TASKS["follow_motion"].sample(0, Level.TRAIN)
    assert caught.value.code == "UNKNOWN_LEVEL"
    with pytest.raises(VimaError, match="0 or more"):
        TASKS["rotate"].sample(-1)
    assert find_task("twist").sample(0, "train") == find_task("twist").sample(0)


def test_a_full_table_is_refused():
    table = LayoutSampler(np.random.default_rng(0), Workspace())

    def fill_up():
        for _ in range(40):
            table.free_pose("bowl")

    with pytest.raises(VimaError, match="no room for bowl") as caught:
        fill_up()
    assert caught.value.code == "NO_ROOM"


def test_a_template_matches_what_it_made_and_nothing_else():
    form = "Put a <a> {x} into <b>, then <a>."
    assert fill(form, a="red one", b="it") == "Put a red one {x} into it, then red one."
    found = pattern(form).fullmatch("Put a red one {x} into it, then red one.")
    assert (found["a"], found["b"]) == ("red one", "it")
    assert not pattern(form).fullmatch("Put a red one {x} into it, then blue one.")
    assert not pattern(form).fullmatch("Put a red one {y} into it, then red one.")
