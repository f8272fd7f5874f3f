import argparse
import json
import re
import signal
import subprocess
import sys
from dataclasses import asdict

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here")
pytest.importorskip("vima_msgs.msg", reason="vima_msgs is not built or not sourced")

import yaml
from helpers import ROOT
from safetensors import safe_open

from vima_ros.cli import train_policy
from vima_ros.cli.training_options import StopRequest, add_run_options, find_recipe, with_overrides
from vima_ros.errors import VimaError
from vima_ros.policy.checkpoints.load import SMALL
from vima_ros.policy.tokenizer import bundled_tokenizer
from vima_ros.program import exit_code
from vima_ros.specs import HEADS
from vima_ros.training.data.collect import CollectionPlan, collect
from vima_ros.training.policy.recipe import PolicyRecipe
from vima_ros.training.policy.trainer import AUXILIARY_LOSSES, OBJECT_LOSSES

DETECTOR_LOSSES = ("objectness", "rpn_box_reg", "classifier", "box_reg", "mask")


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory):
    out = tmp_path_factory.mktemp("demonstrations")
    for _ in collect(
        CollectionPlan(out, ("rotate",), seeds=4, first_seed=10, deterministic_oracle=True)
    ):
        pass
    return out


@pytest.fixture
def call(demonstrations, tmp_path, capsys):
    """Call the program with a recipe in tmp_path; what it printed."""

    def run(recipe, *arguments, out="run", network=SMALL):
        content = {"network": network, "recipe": {"batch_size": 2, **recipe}}
        (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
        command = ["--data", str(demonstrations), "--out", str(tmp_path / out)]
        command += ["--config", str(tmp_path / "own.yaml"), *arguments]
        code = exit_code("train_policy", train_policy.main, command)
        return code, capsys.readouterr().err

    return run


@pytest.mark.slow
def test_a_run_says_where_it_begins_how_it_goes_and_where_it_resumes(call, tmp_path, capsys):
    _, said = call({"steps": 3})
    assert f"no checkpoint in {tmp_path / 'run'}: begins at step 0" in said
    line = next(line for line in said.splitlines() if "step 3 of 3;" in line)
    for name in (*HEADS, *OBJECT_LOSSES):
        assert re.search(rf"\b{name} \d", line), name
    assert re.search(r"accuracy \[%\], training/validation: pose0 \d+/\d+", line)
    assert re.search(r"episodes/s, .* left", line)
    assert (tmp_path / "run" / "curves.png").exists()
    _, again = call({"steps": 3})
    assert "resumed at step 3 of 3" in again
    assert "begins at" not in again
    card = json.loads((tmp_path / "run" / "policy.json").read_text())["card"]
    assert card["accuracy"]["validation"]["rotate"] >= 0
    assert card["tokenizer"] == asdict(bundled_tokenizer())
    assert card["pick"] == "grounded"
    code, other = call({"steps": 4})
    assert code == 2
    assert re.search(r"OTHER_RUN.*recipe\.steps was 3, is 4", other)


@pytest.mark.slow
def test_what_is_taken_from_another_policy_is_said_and_begins_alike_each_time(call, tmp_path):
    call({"steps": 1}, out="first")
    weights = tmp_path / "first" / "policy.safetensors"
    finer = SMALL | {"vit_patch": 8}
    _, said = call({"steps": 1}, "--start", str(weights), out="b", network=finer)
    assert re.search(rf"begins with \d+ of \d+ weights of {weights}; begins anew: .*conv1", said)
    assert "48 x 3 x 16 x 16 in the file, 48 x 3 x 8 x 8 here" in said
    call({"steps": 1}, "--start", str(weights), out="c", network=finer)
    files = [tmp_path / name / "policy.safetensors" for name in "bc"]
    assert files[0].read_bytes() == files[1].read_bytes()
    with safe_open(files[0], "pt") as file:
        assert file.get_slice("object_encoder.vit.conv1.weight").get_shape() == [48, 3, 8, 8]


def test_a_recipe_is_a_bundled_name_or_a_file_anywhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "own.yaml").touch()
    assert find_recipe("policy", "~/own.yaml") == tmp_path / "own.yaml"
    assert find_recipe("policy", "small").name == "policy_small.yaml"
    assert find_recipe("detector", "small").name == "detector_small.yaml"


def test_what_is_there_and_no_file_is_no_recipe(tmp_path):
    for path in (str(tmp_path), "/dev/zero"):
        with pytest.raises(VimaError, match=f"{path}: is no file") as caught:
            find_recipe("policy", path)
        assert caught.value.code == "BAD_CONFIG"


def options(*given):
    parser = argparse.ArgumentParser()
    add_run_options(parser, "policy", printing=True)
    return parser.parse_args(given)


@pytest.mark.parametrize("minutes", ["abc", "0", "-1", "nan", "inf", ""])
def test_a_wrong_period_of_checkpoints_is_refused_with_what_is_valid(minutes, capsys):
    with pytest.raises(SystemExit):
        options(f"--checkpoint-every={minutes}")
    message = capsys.readouterr().err
    assert f"argument --checkpoint-every: {minutes!r}; valid: a number of minutes" in message
    assert "_minutes" not in message


@pytest.mark.parametrize(
    "given",
    [
        ("--learning-rate", "1e300"),
        ("--learning-rate", "nan"),
        ("--steps", "9" * 400),
        ("--seed", "-1"),
    ],
)
def test_options_have_the_ranges_of_the_recipe(given):
    with pytest.raises(VimaError, match="valid: a ") as caught:
        with_overrides(PolicyRecipe(), options(*given))
    assert caught.value.code == "BAD_CONFIG"
    assert len(str(caught.value)) < 300


def test_the_first_signal_is_noted_and_the_second_ends_the_process():
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGTERM)
        assert stop()
        assert stop.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before
    code = "import signal; from vima_ros.cli.training_options import StopRequest\n"
    code += "with StopRequest():\n    signal.raise_signal(2); signal.raise_signal(2)\n"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 130


@pytest.mark.parametrize(
    ("document", "names"),
    [("policy.md", (*HEADS, *sorted(AUXILIARY_LOSSES))), ("detector.md", DETECTOR_LOSSES)],
)
def test_every_loss_is_explained(document, names):
    text = (ROOT / "docs" / document).read_text()
    assert [name for name in names if f"`{name}`" not in text] == []
