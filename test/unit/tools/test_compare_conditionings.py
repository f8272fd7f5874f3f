"""The comparison of conditionings: each episode is run once, the page has the success rates."""

import json

import compare_conditionings
import pytest

from vima_ros.policy.checkpoints.load import random_network
from vima_ros.policy.checkpoints.safetensors import save_weights
from vima_ros.policy.tokenizer import bundled_tokenizer
from vima_ros.training.evaluation.policy_rollouts import NO_DETECTOR, Attempt


def save(path, conditioning, steps=7):
    words = bundled_tokenizer().words
    network = random_network({"vocabulary": words, "conditioning": conditioning})
    save_weights(network, path, {"step": steps})


@pytest.fixture
def ran(monkeypatch):
    """Return the jobs that were run; those with an even seed succeed."""
    jobs = []

    def attempt_all(asked, workers):
        for job in asked:
            jobs.append(job)
            yield Attempt(job, "OK" if job.seed % 2 else "SUCCESS", "", 1, 0.5)

    monkeypatch.setattr(compare_conditionings, "attempt_all", attempt_all)
    return jobs


def compare(folder, monkeypatch, *more):
    policies = [f"{name}={folder / name}.safetensors" for name in ("vima", "gato")]
    options = ["--tasks", "rotate", "twist", "--seeds", "4", "--out", str(folder / "out"), *more]
    monkeypatch.setattr("sys.argv", ["compare", "--policies", *policies, *options])
    compare_conditionings.main()
    return (folder / "out" / "conditioning.md").read_text()


@pytest.mark.slow
def test_each_episode_is_run_once_and_counted(ran, tmp_path, monkeypatch):
    save(tmp_path / "vima.safetensors", "vima")
    save(tmp_path / "gato.safetensors", "gato")
    page = compare(tmp_path, monkeypatch)
    assert len(ran) == 2 * 2 * 2 * 4  # policies, levels, tasks, seeds
    assert {job.level for job in ran} == {
        "placement_generalization",
        "novel_object_generalization",
    }
    assert {job.detector for job in ran} == {"ground_truth_masks", NO_DETECTOR}
    rows = [line for line in page.splitlines() if line.startswith("| gato")]
    assert rows[0].count("50 (15 to 85)") == 2  # two of four, Wilson's interval
    assert "50 (22 to 78)" in rows[0]  # four of eight
    assert page.count("| vima") == 3

    record = tmp_path / "out" / "attempts.jsonl"
    record.write_text(record.read_text()[:-20])  # cut off, as by a full disk
    cut = ran[-1]
    ran.clear()
    assert compare(tmp_path, monkeypatch) == page
    assert ran == [cut]

    ran.clear()
    save(tmp_path / "gato.safetensors", "gato", steps=9)
    save(tmp_path / "vima.safetensors", "vima", steps=9)
    compare(tmp_path, monkeypatch)
    assert not ran, "the same weights"
    assert all(json.loads(line)["code"] for line in record.read_text().splitlines())


def test_a_policy_without_a_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "sys.argv", ["compare", "--policies", "x.safetensors", "--out", str(tmp_path)]
    )
    with pytest.raises(SystemExit, match="valid: NAME=FILE"):
        compare_conditionings.main()
