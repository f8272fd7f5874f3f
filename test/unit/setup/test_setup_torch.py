"""./vima setup: where torch comes from, and the environment for training."""

import os
import subprocess
import sys
import zipfile

import pytest
from played_clone import ROOT, STEPS

TRAINING_STEPS = 3  # venv, pip, packages


def torch_steps(calls: list[str]) -> list[str]:
    return [call for call in calls if "--index-url" in call]


@pytest.mark.slow
def test_the_index_of_torch_is_used_for_torch_alone_and_remembered(clone):
    url = "file:///somewhere/simple"
    assert clone.run("setup", "--torch-index", "no_url").returncode == 1
    assert clone.run("setup", "--torch-index").returncode == 1
    assert clone.calls() == []
    assert clone.run("setup", "--torch-index", url).returncode == 0
    (step,) = torch_steps(clone.calls())
    assert f"--no-deps --index-url {url} torch==" in step
    assert "torchvision" not in step
    assert clone.run("setup").stderr == ""
    clone.change_requirements()
    assert clone.run("setup").returncode == 0
    assert len(torch_steps(clone.calls())) == 1
    assert clone.run("--train", "exec", "true").returncode == 0
    (step,) = torch_steps(clone.calls())
    assert url in step
    assert " torchvision==" in step
    assert clone.run("--train", "setup", VIMA_TORCH_INDEX="").returncode == 0
    calls = clone.calls()
    assert torch_steps(calls) == []
    assert len(calls) == STEPS + TRAINING_STEPS


@pytest.mark.slow
def test_pip_takes_a_local_build_of_torch_from_that_index(tmp_path):
    """Pip itself: what the index has satisfies the pin; what torch needs is not sought there."""
    pin = next(
        line.split()[0]
        for line in (ROOT / "requirements" / "base.txt").read_text().splitlines()
        if line.startswith("torch==")
    )
    version = f"{pin.removeprefix('torch==')}+cpu"
    index = tmp_path / "simple" / "torch"
    index.mkdir(parents=True)
    wheel = f"torch-{version}-py3-none-any.whl"
    information = f"torch-{version}.dist-info"
    with zipfile.ZipFile(index / wheel, "w") as file:
        file.writestr("torch/__init__.py", "")
        file.writestr(
            f"{information}/METADATA",
            f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\nRequires-Dist: absent\n",
        )
        file.writestr(
            f"{information}/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        file.writestr(f"{information}/RECORD", "")
    (index / "index.html").write_text(f'<a href="{wheel}">{wheel}</a>')
    site = tmp_path / "site"
    python = tmp_path / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@" --target {site}\n')
    python.chmod(0o755)
    (tmp_path / "log").mkdir()
    code = f"""
cd {ROOT}; set -eu
. tools/setup.sh
SETUP_LOG={tmp_path}/log/setup.log
torch_index=file://{index.parent}
install_torch {tmp_path}/environment requirements/base.txt
"""
    surroundings = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    surroundings["PIP_CONFIG_FILE"] = os.devnull
    done = subprocess.run(["bash", "-c", code], env=surroundings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (site / information).is_dir()
    satisfied = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--no-deps", pin],
        env=surroundings | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert f"already satisfied: {pin}" in satisfied.stdout


@pytest.mark.slow
def test_training_has_an_environment_of_its_own(clone):
    assert clone.run("--train", "exec", "true").returncode == 0
    assert len(clone.calls()) == TRAINING_STEPS
    run = clone.run("--train", "sim")
    assert f"sim of {clone.root}/.venv-train-a/bin/python" in run.stdout
    assert (run.stderr, clone.calls()) == ("", [])
    clone.change_requirements()
    assert "./vima --train setup" in clone.run("--train", "sim").stderr
    assert clone.run("--train", "setup").returncode == 0
    assert len(clone.calls()) == STEPS  # its torch stays


@pytest.mark.slow
def test_a_training_set_up_ended_at_any_step_goes_on(clone):
    """The last step alone is repeated once Python and pip are there."""
    ended = (
        ("1", "kill -KILL $vima 0"),
        ("2", "kill -KILL $vima 0"),
        ("3", "kill -INT $vima; cat"),
    )
    for step, stop in ended:
        assert clone.run("--train", "setup", STOP_AT=step, STOP_BY=stop).returncode != 0
        clone.calls()
    assert clone.run("--train", "exec", "true").returncode == 0
    assert len(clone.calls()) == 1
    assert (clone.root / ".venv-train" / "torchvision.txt.done").exists()
