import subprocess
import sys

import pytest
import torch
import yaml

from vima_ros.errors import VimaError
from vima_ros.policy.checkpoints.load import SMALL
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.tokenizer import bundled_tokenizer
from vima_ros.training.data.collect import CollectionPlan, collect
from vima_ros.training.data_parallel import Processes
from vima_ros.training.policy.auxiliary_losses import PolicyWithAuxiliaryHeads
from vima_ros.training.policy.batch_source import BatchSource
from vima_ros.training.policy.recipe import PolicyRecipe
from vima_ros.training.policy.trainer import load_averaged, train_policy
from vima_ros.training.policy.training_episode import read_training_episodes

TASKS = ("visual_manipulation", "rotate")
CONFIG = VimaConfig(**SMALL, vocabulary=bundled_tokenizer().words)
RECIPE = {"steps": 3, "batch_size": 8, "micro_batches": 4, "warmup_steps": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("demonstrations")
    for _ in collect(CollectionPlan(out, TASKS, seeds=3, deterministic_oracle=True)):
        pass
    return out


@pytest.fixture(scope="module")
def episodes(folder):
    return read_training_episodes([folder])


@pytest.mark.slow
def test_two_processes_end_with_the_weights_of_one(folder, episodes, tmp_path):
    """One begins, two of torchrun resume its run: each has to read the checkpoint."""
    list(train_policy(episodes[1:], [], CONFIG, PolicyRecipe(**RECIPE), tmp_path / "one"))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"network": dict(SMALL), "recipe": RECIPE}))
    program = ["-m", "vima_ros.cli.train_policy", "--data", folder, "--config", recipe, "--out"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    log = output(program, tmp_path / "two", "--pause-at", "1")
    assert "paused: checkpoint of step 1 of 3" in log
    log = output([*torchrun, *program], tmp_path / "two")
    assert log.count("resumed at step 1 of 3") == 1  # by one of the two alone
    one, two = (load_averaged(tmp_path / name, CONFIG)[0] for name in ("one", "two"))
    for (name, a), b in zip(one.named_parameters(), two.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-4), name


def output(program, out, *options):
    """Run a Python program; return what it logs."""
    command = [sys.executable, *map(str, (*program, out, *options))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_processes_share_the_parts_of_each_batch(episodes):
    recipe = PolicyRecipe(**RECIPE)
    alone = BatchSource(episodes, recipe, None)
    for step in range(3):
        whole = dict(alone[step])
        assert list(whole) == [0, 1, 2, 3]
        shares = [BatchSource(episodes, recipe, None, Processes(r, 2))[step] for r in (0, 1)]
        assert sorted(part for share in shares for part, _ in share) == [0, 1, 2, 3]
        for part, batch in (pair for share in shares for pair in share):
            assert torch.equal(batch.bins, whole[part].bins)
            assert torch.equal(batch.slots.boxes, whole[part].slots.boxes)


def test_parts_that_do_not_divide_among_the_processes_are_refused(episodes):
    with pytest.raises(VimaError, match="multiple of the number of processes") as caught:
        BatchSource(episodes, PolicyRecipe(**RECIPE), None, Processes(0, 3))
    assert caught.value.code == "BAD_CONFIG"


@pytest.mark.slow
def test_a_batch_that_does_not_fit_is_split_until_it_does(episodes, tmp_path, monkeypatch):
    list(train_policy(episodes, [], CONFIG, PolicyRecipe(**RECIPE), tmp_path / "given"))
    losses, sizes = PolicyWithAuxiliaryHeads.losses, []

    def little_memory(model, batch, smoothing):
        sizes.append(len(batch.names_colors))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError
        return losses(model, batch, smoothing)

    monkeypatch.setattr(PolicyWithAuxiliaryHeads, "losses", little_memory)
    found = PolicyRecipe(**(RECIPE | {"micro_batches": 0}))
    list(train_policy(episodes, [], CONFIG, found, tmp_path / "found"))
    assert sizes == [8, 4] + [2] * 12
    one, other = (load_averaged(tmp_path / name, CONFIG)[0] for name in ("given", "found"))
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    given = PolicyRecipe(**(RECIPE | {"micro_batches": 2}))
    with pytest.raises(torch.OutOfMemoryError):
        list(train_policy(episodes, [], CONFIG, given, tmp_path / "fixed"))
