"""Recipes: what is wrong with a file is named with its line and with what is valid."""

import dataclasses
from pathlib import Path

import pytest

from vima_ros.errors import VimaError
from vima_ros.paths import config_path
from vima_ros.policy.config import CONDITIONINGS, VimaConfig
from vima_ros.policy.sizes import parameter_count
from vima_ros.policy.tokenizer import bundled_tokenizer
from vima_ros.training.detector.recipe import DetectorRecipe
from vima_ros.training.policy.batching import DetectionNoise
from vima_ros.training.policy.recipe import PolicyRecipe
from vima_ros.training.recipes import read_recipe, to_yaml

SECTIONS = {"network": VimaConfig, "recipe": PolicyRecipe}


def read(tmp_path, text):
    path = tmp_path / "own.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_recipe(path, SECTIONS, {"network": {"vocabulary": 77}})


def test_numbers_are_read_as_a_person_means_them(tmp_path):
    text = "network:\n  embed_dim: 48\n  sattn_n_heads: 4\n  xattn_n_heads: 4\nrecipe:\n"
    text += "  learning_rate: 1e-4\n  weight_decay: 1\n  max_grad_norm: 1.5e0\n"
    text += "  detection_noise: {miss_rate: 0}\n"
    got = read(tmp_path, "\ufeff" + text.replace("\n", "\r\n"))
    assert got["recipe"] == PolicyRecipe(
        learning_rate=1e-4,
        weight_decay=1,
        max_grad_norm=1.5,
        detection_noise=DetectionNoise(miss_rate=0),
    )
    assert (got["network"].embed_dim, got["network"].vocabulary) == (48, 77)


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("learning_rat: 1", ("line 3", "learning_rat;", "nearest: learning_rate")),
        ("qqqq: 1", ("qqqq", "valid: steps, batch")),
        ("learning_rate: fast", ("line 3", "'fast'", "a number above 0")),
        ("learning_rate: '1e-4'", ("'1e-4'", "a number")),
        ("learning_rate: 0", ("is 0", "above 0")),
        ("learning_rate: -1e-3", ("-0.001", "above 0")),
        ("learning_rate: .nan", ("nan", "above 0")),
        ("learning_rate: .inf", ("inf", "above 0")),
        ("learning_rate:", ("no value", "above 0")),
        ("learning_rate: [1]", ("[1]", "a number")),
        ("batch_size: 2.5", ("2.5", "a whole number from 1 to 1000000")),
        ("batch_size: true", ("True", "a whole number")),
        ("batch_size: 0", ("is 0", "from 1 to 1000000")),
        ("batch_size: 8\n  batch_size: 9", ("line 4", "line 3 already")),
        ("batch_size: 2\n  micro_batches: 3", ("micro_batches is 3", "at most batch_size")),
        ("layout_fraction: 1.5", ("1.5", "from 0 to 1")),
        ("task_weights: {rotat: 4}", ("'rotat'", "nearest: rotate", "visual_manipulation")),
        ("task_weights: {rotate: much}", ("rotate is 'much'", "from 0 to 1000000")),
        ("task_weights: {rotate: -1}", ("rotate is -1", "from 0 to 1000000")),
        ("task_weights: [rotate]", ("['rotate']", "TASK: NUMBER")),
        ("task_weights: {rotate: 1, rotate: 2}", ("rotate stands twice",)),
        ("detection_noise: {mis_rate: 0.1}", ("mis_rate", "nearest: miss_rate")),
        ("detection_noise: {miss_rate: 2}", ("recipe.detection_noise.miss_rate is 2", "0 to 1")),
        ("detection_noise: 3", ("detection_noise is not a mapping",)),
        ("save_every: 500", ("save_every", "valid: steps")),
        ("batch_size: 0\n  max_grad_norm: no", ("line 3", "line 4", "max_grad_norm is False")),
        ("steps: &a 8\n  batch_size: *a", ("line 4", "*a is an alias", "the value itself")),
        ("task_weights: &a {rotate: *a}", ("line 3", "*a is an alias")),
        ("max_grad_norm: &a [*a]", ("line 3", "*a is an alias")),
        (f"max_grad_norm: {'[' * 5000}", ("line 3", "nested more than 8 deep")),
        (f"max_grad_norm: {'{a: ' * 5000}", ("line 3", "nested more than 8 deep")),
        (
            f"max_grad_norm: 1{'0' * 400}",
            ("max_grad_norm is 1000", "...; valid: a number above 0"),
        ),
        (
            f"max_grad_norm: 1{'0' * 5000}",
            ("max_grad_norm is '1000", "...; valid: a number above 0"),
        ),
        (f"max_grad_norm: 0x{'f' * 5000}", ("thousands of digits", "a number above 0")),
        (f"max_grad_norm: 1.5{':00' * 400}", ("max_grad_norm is '1.5:00", "a number above 0")),
        ("max_grad_norm: 1e400", ("max_grad_norm is inf", "a number above 0")),
        ("max_grad_norm: !!bool perhaps", ("max_grad_norm is 'perhaps'", "a number above 0")),
        ("max_grad_norm: !!timestamp soon", ("max_grad_norm is 'soon'", "a number above 0")),
        (f"task_weights: {{rotate: 1{'0' * 400}}}", ("rotate is 1000", "from 0 to 1000000")),
        (f"{'q' * 900}: 1", ("qqq...;", "valid: steps")),
        ("task_weights: {rotate: 1e308, twist: 1e308}", ("rotate is 1e+308", "from 0 to 1000000")),
        ("learning_rate: 1e300", ("is 1e+300", "above 0 to 1")),
        (f"steps: 1{'0' * 30}", ("steps is 1000", "from 1 to 1000000000")),
        ("\n  ".join(f"q{n}: 1" for n in range(30)), ("q9;", "20 more faults")),
    ],
)
def test_a_wrong_setting_is_refused(recipe, words, tmp_path):
    with pytest.raises(VimaError) as caught:
        read(tmp_path, f"network: {{}}\nrecipe:\n  {recipe}\n")
    assert caught.value.code == "BAD_CONFIG"
    message = str(caught.value)
    assert "own.yaml" in message
    assert [word for word in words if word not in message] == []
    assert "\n" not in message
    assert len(message) < 4000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("is empty", "network:")),
        ("# nothing\n", ("is empty", "network:")),
        ("- 1\n", ("not one mapping", "network:")),
        ("just words\n", ("not one mapping", "network:")),
        ("a: 1\n---\nb: 2\n", ("not one mapping",)),
        ("network: {}\nrecipe: {\n", ("line 3", "not YAML")),
        ("network:\n\tembed_dim: 3\n", ("line 2", "tabs")),
        (b"\xff\xfe\x00\x01\x80", ("not readable as text",)),
        ("network: {}\n", ("lacks recipe:",)),
        ("recipe: {}\n", ("lacks network:",)),
        ("network: {}\nrecipes: {}\n", ("recipes", "nearest: recipe")),
        ("network: {embed_dim: 50}\nrecipe: {}\n", ("line 1", "sattn_n_heads", "divisor of 50")),
        ("network: {embed_dims: 50}\nrecipe: {}\n", ("nearest: embed_dim",)),
        ("network: {embed_dim: -8}\nrecipe: {}\n", ("-8", "from 1 to")),
        ("network: {embed_dim: 1000000000000}\nrecipe: {}\n", ("line 1", "1 to 16384")),
        ("network: {vit_layers: 5000}\nrecipe: {}\n", ("line 1", "1 to 256")),
        ("#" * 70_000, ("more than 65536 bytes",)),
        ("network:\nrecipe: {}\n", ("network is not a mapping",)),
        ("network: {}\nrecipe: {}\nrecipe: {}\n", ("line 3", "line 2 already")),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(text, words, tmp_path):
    with pytest.raises(VimaError) as caught:
        read(tmp_path, text)
    assert caught.value.code == "BAD_CONFIG"
    assert [word for word in words if word not in str(caught.value)] == []


def test_what_is_printed_is_read_again_and_explains_every_setting(tmp_path):
    values = {
        "network": VimaConfig(vit_patch=8),
        "recipe": PolicyRecipe(
            learning_rate=1.23456789e-7, task_weights={"rotate": 1.25, "twist": 2}
        ),
    }
    text = to_yaml(**values)
    assert read(tmp_path, text) == values
    for kind in (VimaConfig, PolicyRecipe, DetectionNoise, DetectorRecipe):
        for field in dataclasses.fields(kind):
            assert len(field.metadata["description"]) > 8, field.name
    for line in text.splitlines():
        assert line.endswith(":") or ": " in line or line.strip().startswith("# ")


def test_a_setting_of_words_is_one_of_those_that_are_valid(tmp_path):
    got = read(tmp_path, "network: {conditioning: gpt, vit_patch: 32}\nrecipe: {}\n")["network"]
    assert got == VimaConfig(conditioning="gpt", vit_patch=32, vocabulary=77)
    for wrong in ("gtp", "3", "[gpt]", "true"):
        with pytest.raises(VimaError, match=r"conditioning is .*vima, gpt, gato, flamingo"):
            read(tmp_path, f"network: {{conditioning: {wrong}}}\nrecipe: {{}}\n")


def test_the_four_conditionings_are_trained_alike_and_of_one_size():
    """What docs/results/conditioning.md compares."""
    defaults = {"network": {"vocabulary": bundled_tokenizer().words}}
    read = {
        name: read_recipe(config_path(f"training/policy_{name}.yaml"), SECTIONS, defaults)
        for name in CONDITIONINGS
    }
    assert [recipe["network"].conditioning for recipe in read.values()] == list(CONDITIONINGS)
    assert len({repr(recipe["recipe"]) for recipe in read.values()}) == 1
    sizes = [parameter_count(recipe["network"])["total"] for recipe in read.values()]
    assert max(sizes) <= 1.05 * min(sizes)


def test_settings_given_in_code_are_checked_too():
    with pytest.raises(VimaError, match="batch_size is 0"):
        PolicyRecipe(batch_size=0)
    with pytest.raises(VimaError, match="rotat"):
        PolicyRecipe(task_weights={"rotat": 1})
    with pytest.raises(VimaError, match="learning_rate is 'fast'"):
        DetectorRecipe(learning_rate="fast")


def test_a_bomb_of_aliases_is_refused_unread(tmp_path):
    lines = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    with pytest.raises(VimaError, match=r"line 2: .a0 is an alias"):
        read(tmp_path, f"a0: &a0 [1]\n{lines}")


@pytest.mark.parametrize("path", ["/tmp", "/dev/zero"])
def test_a_recipe_is_a_file(path):
    with pytest.raises(VimaError, match=f"{path} is no file"):
        read_recipe(Path(path), SECTIONS, {})
