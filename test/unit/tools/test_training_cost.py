import sys
from dataclasses import replace

import pytest
import training_cost

from vima_ros.policy.checkpoints.load import SMALL
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.tokenizer import bundled_tokenizer
from vima_ros.training.data.collect import CollectionPlan, collect
from vima_ros.training.policy.recipe import PolicyRecipe
from vima_ros.training.policy.training_episode import read_training_episodes

CONFIG = VimaConfig(**SMALL, vocabulary=bundled_tokenizer().words)
RECIPE = PolicyRecipe(batch_size=2, micro_batches=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("demonstrations")
    for _ in collect(CollectionPlan(out, ("rotate",), seeds=2, deterministic_oracle=True)):
        pass
    return out


def test_each_layer_costs_the_same(folder):
    episodes = read_training_episodes([folder])
    weights, cost = zip(
        *(
            training_cost.flop_per_episode(episodes, replace(CONFIG, xf_n_layers=n), RECIPE)
            for n in (2, 3, 4)
        ),
        strict=True,
    )
    for two, three, four in (weights, cost):
        assert four - three == three - two > 0


def test_hours_and_cores_follow_from_cost_and_peak(folder, monkeypatch, capsys):
    monkeypatch.setitem(training_cost.PUBLISHED, "20M", CONFIG)
    monkeypatch.setattr(training_cost, "flop_per_episode", lambda *_: (3_000_000, 5e9))
    monkeypatch.setattr(training_cost, "preparation_rate", lambda *_: 40.0)
    options = ["--sizes", "20M", "--gpus", "2", "--tflops", "1", "--utilization", "0.25"]
    monkeypatch.setattr(
        sys, "argv", ["x", "--data", str(folder), *options, "--episodes", "1080000"]
    )
    training_cost.main()
    row = capsys.readouterr().out.splitlines()[2]
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        *("20M", "3 M", "5 G", "100", "3.0", "2.5")  # 2e12 * 0.25 / 5e9 episodes a second
    ]
