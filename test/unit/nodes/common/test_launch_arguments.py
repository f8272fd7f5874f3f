"""The launch files' arguments, and the end of a launch, without launch."""

import sys
from types import SimpleNamespace

import pytest
from helpers import ROOT, write_bag
from rosbags.rosbag2 import StoragePlugin

from vima_ros.errors import VimaError
from vima_ros.nodes.common.launch_arguments import CHECKS, check_names, check_values
from vima_ros.nodes.common.launch_shutdown import end_launch

PARAMS_FILE = str(ROOT / "config" / "robots" / "example.yaml")


@pytest.mark.parametrize(
    ("name", "texts"),
    {
        "namespace": ["right", "/right", "/a/b", "right/"],
        "params_file": [PARAMS_FILE],
        "checkpoint": ["", "random", "vima", PARAMS_FILE],
        "device": ["cpu", "cuda", "cuda:1"],
        "use_sim_time": ["true", "false"],
        "task": ["", "rotate"],
        "level": ["", "train"],
        "scene": ["put", "random"],
        "seed": ["0", "3", "2147483647"],
        "out": ["new/folder", str(ROOT)],
    }.items(),
)
def test_valid_values_pass(name, texts):
    for text in texts:
        check_values({name: text})


def test_bundled_weights_that_are_not_there_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr("vima_ros.policy.WEIGHTS", tmp_path)
    with pytest.raises(VimaError, match="no trained weights of gato are bundled"):
        check_values({"checkpoint": "gato"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text", "valid"),
    [
        ("namespace", "//right", "such as right or /cell/right"),
        ("params_file", "/no/such.yaml", "no file /no/such.yaml; valid: a YAML file"),
        ("params_file", "", "no file"),
        ("params_file", "{tmp}", "valid: a YAML file"),
        ("params_file", "{tmp}/empty", "empty holds no values"),
        ("params_file", "{tmp}/list", "list holds no values"),
        ("params_file", "{tmp}/broken", "can't be read as YAML"),
        ("params_file", "{tmp}/binary", "can't be read as YAML"),
        ("params_file", "{tmp}/nested", "can't be read as YAML"),
        ("checkpoint", "20M.ckpt", "valid: a checkpoint file, nothing for the bundled one"),
        ("device", "gpu", "valid: cpu, cuda, or cuda:N"),
        ("device", "cuda:", "valid: cpu, cuda, or cuda:N"),
        ("use_sim_time", "yes", "valid: true, false"),
        ("task", "rotat", "valid: nothing, visual_manipulation"),
        ("level", "hard", "valid: nothing, train"),
        ("scene", "", "valid: put, rotate"),
        ("seed", "abc", "valid: a whole number from 0 to 2147483647"),
        ("seed", "-1", "valid: a whole number"),
        ("seed", "1.0", "valid: a whole number"),
        ("seed", "010", "valid: a whole number"),
        ("seed", "2147483648", "valid: a whole number"),
        ("seed", "9" * 5000, "valid: a whole number"),
        ("bag", "{tmp}/nothing", "valid: a rosbag2 folder"),
        ("bag", "{tmp}", "its metadata.yaml is not rosbag2's"),
        ("out", "{tmp}/empty", "valid: a folder"),
    ],
)
def test_a_bad_value_is_named_with_what_is_valid(tmp_path, name, text, valid):
    (tmp_path / "empty").touch()
    (tmp_path / "list").write_text("- 1")
    (tmp_path / "broken").write_text("a: [")
    (tmp_path / "nested").write_text("[" * 3000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "metadata.yaml").write_text("not: a bag")
    text = text.format(tmp=tmp_path)
    with pytest.raises(VimaError) as refused:
        check_values({"device": "cpu", name: text})
    assert str(refused.value).startswith(f"launch argument {name} is {text!r}")
    assert valid in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_recording_passes(tmp_path):
    bag = write_bag(tmp_path / "bag", StoragePlugin.MCAP, steps=1)
    check_values({"bag": str(bag), "out": str(tmp_path)})


def test_a_level_belongs_to_its_task():
    check_values({"task": "follow_motion", "level": "novel_task_generalization"})
    with pytest.raises(VimaError, match="which task rotate does not have; valid: train, pl"):
        check_values({"task": "rotate", "level": "novel_task_generalization"})


def test_misspelt_names_are_refused():
    check_names(["ros2", "launch", "x", "seed:=3", "launch-prefix:=nice"], CHECKS)
    with pytest.raises(
        VimaError, match=r"no launch argument 'prams_file'; did you mean params_file\?; valid"
    ):
        check_names(["prams_file:=my.yaml"], CHECKS)


@pytest.fixture
def launch(monkeypatch):
    """A stand-in for launch's one action that is used here."""
    shutdown = SimpleNamespace(Shutdown=lambda reason: ("shutdown", reason))
    monkeypatch.setitem(sys.modules, "launch", SimpleNamespace(actions=shutdown))
    monkeypatch.setitem(sys.modules, "launch.actions", shutdown)


def ended(code: int) -> SimpleNamespace:
    return SimpleNamespace(process_name="replay-1", returncode=code)


def test_a_program_that_succeeds_ends_the_launch(launch):
    running = SimpleNamespace(is_shutdown=False)
    assert end_launch(ended(0), running) == ("shutdown", "replay-1 has ended")


@pytest.mark.parametrize("code", [1, 2, -11])
def test_a_program_that_fails_fails_the_launch(launch, code):
    with pytest.raises(VimaError, match=f"replay-1 ended with exit code {code}"):
        end_launch(ended(code), SimpleNamespace(is_shutdown=False))


def test_a_program_that_was_interrupted_does_not(launch):
    assert end_launch(ended(130), SimpleNamespace(is_shutdown=True))[0] == "shutdown"
