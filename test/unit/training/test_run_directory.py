"""The folder of a run: what it keeps through interrupts, full disks and second calls."""

import json
import resource
import subprocess
import sys

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from vima_ros.errors import VimaError
from vima_ros.training.evaluation.learning_curves import draw_curves
from vima_ros.training.run_directory import (
    CHECKPOINT,
    append_progress,
    read_progress,
    save_checkpoint,
    start_run,
)
from vima_ros.training.run_progress import Run, Schedule


def parts(seed=0, width=100):
    torch.manual_seed(seed)
    model = torch.nn.Linear(width, width)
    return model, AveragedModel(model), torch.optim.AdamW(model.parameters())


def steps_of(folder, last, **schedule):
    """Train a run of 100 steps until ``last``; where it began."""
    state = parts()
    run = Run(folder, 100, *state, Schedule(**schedule))
    begun = run.step
    for _ in range(begun, last):
        run.add({"loss": torch.tensor(1.0)})
        if run.ends_step():
            run.report({"step": run.step, "losses": run.take_losses()})
        if not run.goes_on():
            break
    return begun


def refused(code, call, *arguments):
    with pytest.raises(VimaError) as caught:
        call(*arguments)
    assert caught.value.code == code
    return str(caught.value)


def test_a_run_refuses_another_configuration_naming_both_values(tmp_path):
    start_run(tmp_path, {"recipe": {"steps": 3, "batch": 8}})
    start_run(tmp_path, {"recipe": {"steps": 3, "batch": 8}})
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["configuration"] == {"recipe": {"steps": 3, "batch": 8}}
    assert facts["revision"]
    other = {"recipe": {"steps": 4, "batch": 8}}
    assert "recipe.steps was 3, is 4;" in refused("OTHER_RUN", start_run, tmp_path, other)
    (tmp_path / "run.json").write_text('{"configuration": {"st')
    assert "run.json" in refused("BAD_RUN", start_run, tmp_path, other)
    (tmp_path / "file").touch()
    refused("BAD_FOLDER", start_run, tmp_path / "file" / "run", {})


def test_deeply_nested_json_of_a_run_is_damage(tmp_path):
    (tmp_path / "run.json").write_text("[" * 100_000)
    (tmp_path / "progress.jsonl").write_text("[" * 100_000 + '\n{"step": 1}\n')
    assert "run.json is damaged" in refused("BAD_RUN", start_run, tmp_path, {})
    assert read_progress(tmp_path) == [{"step": 1}]


def test_checkpoints_come_by_time(tmp_path):
    steps_of(tmp_path / "rare", 10, checkpoint_period=3600.0)
    assert not (tmp_path / "rare" / CHECKPOINT).exists()
    steps_of(tmp_path / "often", 10, checkpoint_period=0.0)
    assert steps_of(tmp_path / "often", 10) == 10


def test_a_run_pauses_where_it_is_told_to_and_goes_on_from_there(tmp_path):
    log = []
    assert steps_of(tmp_path, 100, pause_at=7, log=log.append) == 0
    assert "paused: checkpoint of step 7 of 100" in log[-1]
    assert Run(tmp_path / "other", 5, *parts(), Schedule(pause_at=7)).end == 5
    assert steps_of(tmp_path, 100, log=log.append) == 7
    assert "paused" not in log[-1]
    assert steps_of(tmp_path, 100) == 100


def test_lines_of_steps_that_are_trained_again_are_not_doubled(tmp_path):
    asked = iter([False] * 6 + [True])
    steps_of(tmp_path, 10, report_every=2, stop=lambda: next(asked))  # its checkpoint: step 7
    append_progress(tmp_path, {"step": 8, "losses": {"loss": 5.0}})
    with (tmp_path / "progress.jsonl").open("a") as file:
        file.write('{"step": 9, "lo')  # the disk was full
    assert steps_of(tmp_path, 10, report_every=2) == 7
    records = read_progress(tmp_path)
    assert [record["step"] for record in records] == [2, 4, 6, 8, 10]
    assert {record["losses"]["loss"] for record in records} == {1.0}


def test_a_report_comes_by_time_the_first_one_early(tmp_path):
    steps_of(tmp_path, 5, report_every=1000, report_period=0.0)
    assert [record["step"] for record in read_progress(tmp_path)] == [1, 2, 3, 4, 5]


def test_a_full_disk_keeps_the_older_checkpoint_and_says_so(tmp_path):
    steps_of(tmp_path, 3, checkpoint_period=0.0)
    log, before = [], resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # less than a checkpoint
    try:
        assert steps_of(tmp_path, 5, checkpoint_period=0.0, log=log.append) == 3
        stopped = Schedule(stop=lambda: True)
        run = Run(tmp_path, 100, *parts(), stopped)
        message = refused("CANNOT_WRITE", run.goes_on)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "CANNOT_WRITE" in log[1]
    assert "File too large" in log[1]  # what the operating system says, not torch
    assert "the checkpoint of step 3 stays" in log[1]
    assert "the checkpoint of step 3 stays" in message
    assert steps_of(tmp_path, 3) == 3
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"<html>", None])
def test_a_checkpoint_that_is_none_is_refused_with_a_way_out(content, tmp_path):
    save_checkpoint(tmp_path, 3, *parts(), {})
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    message = refused("BAD_CHECKPOINT", steps_of, tmp_path, 5)
    assert "step 0" in message
    assert "weights_only" not in message


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    save_checkpoint(tmp_path, 3, *parts(width=7), {})
    assert "another network" in refused("BAD_CHECKPOINT", steps_of, tmp_path, 5)


@pytest.mark.slow
def test_two_processes_do_not_train_in_one_folder(tmp_path):
    code = (
        "import sys; from pathlib import Path; from vima_ros.training.run_directory import lock; "
    )
    code += "file = lock(Path(sys.argv[1])); print('locked', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "locked\n"
        assert str(tmp_path) in refused("RUN_IN_USE", steps_of, tmp_path, 1)
    finally:
        other.kill()
        other.communicate()
    assert steps_of(tmp_path, 1) == 0


@pytest.mark.slow
def test_curves_show_validation_beside_training_on_linear_axes(tmp_path, monkeypatch):
    figures = pytest.importorskip("matplotlib.figure")
    refused("NO_PROGRESS", draw_curves, tmp_path)
    for step in range(1, 41):
        losses = {"position": 9 / step, "rotation": 5 / step, "goal": 3 / step}
        record = {"step": step, "losses": losses, "training": {"all": step / 50}}
        record["validation_losses"] = {"position": 9 / step + 1, "rotation": 5 / step + 1}
        validation = {"all": step / 90, "rotate": step / 80, "twist": step / 99}
        append_progress(tmp_path, record | {"validation": validation})
    drawn = []
    original = figures.Figure.savefig
    monkeypatch.setattr(
        figures.Figure,
        "savefig",
        lambda self, *a, **k: (drawn.append(self), original(self, *a, **k)),
    )
    assert draw_curves(tmp_path).read_bytes().startswith(b"\x89PNG")
    axes = drawn[0].axes
    labels = ["loss", "auxiliary loss", "accuracy", "accuracy by task"]
    assert [a.get_ylabel() for a in axes] == labels
    for panel, count in zip(axes, (4, 1, 2, 2), strict=True):
        assert panel.get_yscale() == "linear"
        assert panel.get_ylim()[0] == 0
        lines = panel.get_lines()
        looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}
        assert len(lines) == len(looks) == count
    assert axes[0].get_ylim()[1] < 5  # the first, high losses do not flatten the rest
