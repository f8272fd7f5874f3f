import pytest
from task_samples import prompt_objects, samples

from vima_ros.errors import VimaError
from vima_ros.sim.model.shapes import is_generated_shape
from vima_ros.sim.oracle_rollouts import run_episode
from vima_ros.sim.tasks import TASKS
from vima_ros.sim.tasks.base import Level, TaskOutcome
from vima_ros.sim.tasks.splits import (
    NOVEL_CONTAINERS,
    NOVEL_SHAPES,
    TRAIN_BASE_TEXTURES,
    TRAIN_CONTAINERS,
    TRAIN_DRAGGED_TEXTURES,
)

GENERATED = [name for name, task in TASKS.items() if Level.GENERATED in task.levels]
SEEDS = range(4)
NAMED_TEXTURES = {*TRAIN_DRAGGED_TEXTURES, *TRAIN_BASE_TEXTURES}


def objects(name):
    for episode in samples(name, Level.GENERATED, SEEDS):
        yield from (*episode.scene.objects, *prompt_objects(episode))


@pytest.mark.parametrize("name", GENERATED)
def test_what_is_moved_has_a_generated_shape(name):
    for item in objects(name):
        assert item.shape not in NOVEL_SHAPES + NOVEL_CONTAINERS
        if item.scaled_shape.role == "movable":
            assert is_generated_shape(item.shape)
        elif item.scaled_shape.role == "container":
            assert is_generated_shape(item.shape) or item.shape in TRAIN_CONTAINERS


@pytest.mark.parametrize("name", GENERATED)
def test_words_name_textures_of_training_alone(name):
    for item in objects(name):
        texture = item.texture.removeprefix("dark_")
        if TASKS[name].names_textures:
            assert texture in NAMED_TEXTURES
        else:
            assert texture.startswith("generated_") or texture == "grey"
    assert not any("generated" in e.prompt for e in samples(name, Level.GENERATED, SEEDS))


def test_shapes_and_textures_are_many():
    drawn = list(objects("rearrange"))
    assert len({item.shape for item in drawn}) > 5
    assert len({item.texture for item in drawn}) > 5


def test_a_task_that_is_about_profiles_refuses_the_level():
    with pytest.raises(VimaError, match="same_shape has no level 'generated_objects'") as caught:
        TASKS["same_shape"].sample(0, Level.GENERATED)
    assert caught.value.code == "UNKNOWN_LEVEL"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", ["visual_manipulation", "rearrange", "twist"])
def test_the_oracle_solves_tasks_with_generated_objects(name, seed):
    result = run_episode(name, Level.GENERATED, seed)
    assert result.outcome == TaskOutcome.SUCCESS, result
