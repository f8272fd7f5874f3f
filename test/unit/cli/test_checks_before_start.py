"""What a program can check is refused before it starts nodes or runs episodes."""

import importlib

import pytest

from vima_ros.program import exit_code

YAML = "arm:\n  ros__parameters:\n\t- tab\n"


class StartedError(Exception):
    """Raised where nodes or episodes would begin."""


def never(*args, **options):
    raise StartedError


def run(name, module, words, monkeypatch, tmp_path, begin):
    found = importlib.import_module(f"vima_ros.{module}")
    for owner, attribute in begin:
        monkeypatch.setattr(f"vima_ros.{owner}.{attribute}", never)
    words = [word.replace("{tmp}", str(tmp_path)) for word in words]
    return exit_code(name, found.main, [*words, "--out", str(tmp_path / "out")])


NODES = [("client.node_processes.NodeProcesses", "start")]
SUITE = [("cli.sim", "check_no_running_suite"), ("cli.sim", "Client"), *NODES]
DEMO = [("cli.demo.main", "Client"), *NODES]
BENCH = [("cli.bench.perception_latency", "run")]
EPISODES = [("training.evaluation.policy_rollouts", "attempt_all")]


@pytest.mark.parametrize(
    ("name", "module", "words", "begin", "said"),
    [
        ("sim", "cli.sim", ["--checkpoint", "{tmp}/no.ckpt"], SUITE, "BAD_CHECKPOINT"),
        ("sim", "cli.sim", ["--params-file", "{tmp}/bad.yaml"], SUITE, "BAD_PARAMETER_FILE"),
        ("sim", "cli.sim", ["--seed", "-1"], SUITE, "--seed -1; valid: 0 to 2147483647"),
        ("sim", "cli.sim", ["--seed", "2147483648"], SUITE, "valid: 0 to 2147483647"),
        ("demo", "cli.demo.main", ["--tasks", "rotat"], DEMO, "UNKNOWN_TASK"),
        ("demo", "cli.demo.main", ["--seed", "-1"], DEMO, "--seed -1; valid: 0 to"),
        ("demo", "cli.demo.main", ["--seed", "2147483647"], DEMO, "valid: 0 to 2147483640"),
        ("demo", "cli.demo.main", ["--detector", "detectron2"], DEMO, "demo: N"),
        ("demo", "cli.demo.main", ["--checkpoint", "{tmp}/no.ckpt"], DEMO, "BAD_CHECKPOINT"),
        ("replay", "cli.replay", ["{tmp}", "--checkpoint", "gpt"], NODES, "--bringup"),
        ("bench", "cli.bench.main", ["perception", "--weights", "no.onnx"], BENCH, "NO_WEIGHTS"),
        (
            "evaluate_policy",
            "cli.evaluate_policy",
            ["--tasks", "rotate", "--seeds", "1", "--vima-bench", "{tmp}/absent"],
            EPISODES,
            "NO_DEMONSTRATIONS",
        ),
        (
            "evaluate_policy",
            "cli.evaluate_policy",
            ["--tasks", "rotate", "--seeds", "1", "--swap-pictures"],
            EPISODES,
            "--swap-pictures with rotate",
        ),
    ],
)
def test_bad_input_is_refused_before_anything_starts(
    name, module, words, begin, said, monkeypatch, tmp_path, capsys
):
    if module != "cli.evaluate_policy":
        pytest.importorskip("rclpy")
    (tmp_path / "bad.yaml").write_text(YAML)
    assert run(name, module, words, monkeypatch, tmp_path, begin) == 2
    assert said in capsys.readouterr().err


def test_what_is_right_goes_on_to_the_start(monkeypatch, tmp_path):
    pytest.importorskip("rclpy")
    with pytest.raises(StartedError):
        run("demo", "cli.demo.main", ["--seed", "0"], monkeypatch, tmp_path, DEMO)


@pytest.mark.slow
@pytest.mark.parametrize("conditioning", ["gpt", "gato", "flamingo"])
def test_a_demo_of_weights_that_are_not_there_says_how_to_get_some(
    conditioning, monkeypatch, tmp_path, capsys
):
    pytest.importorskip("rclpy")
    monkeypatch.setattr("vima_ros.policy.WEIGHTS", tmp_path)
    words = ["--checkpoint", conditioning]
    assert run("demo", "cli.demo.main", words, monkeypatch, tmp_path, DEMO) == 2
    said = capsys.readouterr().err
    assert f"NO_WEIGHTS: no trained weights of {conditioning}" in said
    assert "valid: vima, or a file of your own" in said
    assert f"`train_policy --config {conditioning}`" in said
