"""Episodes by a policy, what is counted of them and what is written."""

import argparse
import json
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import EPISODES

from vima_ros.cli.evaluation_options import make_jobs
from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.perception.detectors.registry import make_detector
from vima_ros.perception.view_images import view_images
from vima_ros.policy import BUNDLED
from vima_ros.policy.checkpoints.load import load_policy, random_network
from vima_ros.policy.checkpoints.safetensors import save_weights
from vima_ros.policy.inputs import IMAGES, OBJECTS
from vima_ros.policy.tokenizer import PromptTokenizer, bundled_tokenizer
from vima_ros.sim.episode_runner import EpisodeRunner, find_level
from vima_ros.sim.prompt_variations import PromptVariation
from vima_ros.sim.rendering.prompt_renderer import render_prompt_images
from vima_ros.sim.tasks import find_task
from vima_ros.specs import VIEWS, Action
from vima_ros.training.data.readers import read_demonstrations
from vima_ros.training.evaluation import policy_rollouts
from vima_ros.training.evaluation.policy_report import shares_by_task, write_report
from vima_ros.training.evaluation.policy_rollouts import (
    NO_DETECTOR,
    Attempt,
    Job,
    Rate,
    attempt,
    attempt_all,
    encode_asset,
    rate,
)
from vima_ros.training.evaluation.vima_bench_first_actions import first_actions


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "policy.safetensors"
    words = bundled_tokenizer().words
    save_weights(random_network({"vocabulary": words}), path, {})
    return str(path)


class OraclePolicy:
    """Decides as the task's oracle, and notes what it was given."""

    tokenizer = None
    inputs = OBJECTS

    def __init__(self):
        self.seen, self.recorded, self.missed, self.run = [], [], [], None

    def reset(self, prompt):
        self.prompt = prompt

    def infer(self, observation):
        self.seen.append(observation)
        poses = self.run.task.oracle(self.run.episode).act(self.run.world_state())
        return SimpleNamespace(action=Action.from_poses(*poses, Workspace(), self.run.primitive))

    def record(self, decision):
        self.recorded.append(decision)

    def miss(self, decision):
        self.missed.append(decision)


@pytest.fixture
def oracle(monkeypatch):
    policy, prompt = OraclePolicy(), policy_rollouts.encode_prompt
    detectors = {name: make_detector(name) for name in ("ground_truth_masks", "plain_background")}
    detectors[NO_DETECTOR] = None
    encode = PromptTokenizer().encode
    monkeypatch.setattr(
        policy_rollouts,
        "load_tools",
        lambda _, detector, pick: (policy, encode, detectors[detector]),
    )

    def noted(run, *args, **options):
        policy.run = run
        return prompt(run, *args, **options)

    monkeypatch.setattr(policy_rollouts, "encode_prompt", noted)
    return policy


@pytest.mark.slow
@pytest.mark.parametrize("detector", ["ground_truth_masks", "plain_background"])
@pytest.mark.parametrize("task", ["visual_manipulation", "rotate", "sweep_without_exceeding"])
def test_who_knows_the_answer_succeeds(oracle, task, detector):
    done = attempt(Job(task, "train", 2_000_001, "", detector))
    assert (done.code, done.image) == ("SUCCESS", None), done.reason
    assert len(oracle.seen) == done.steps == len(oracle.recorded)
    assert all(len(seen.front) + len(seen.top) for seen in oracle.seen)
    assert oracle.seen[0].end_effector == oracle.run.tabletop.scene.end_effector
    assert oracle.prompt.images


def test_a_varied_prompt_is_what_the_policy_gets(oracle):
    prompts = {}
    for variation in PromptVariation:
        if variation.applies_to(find_task("visual_manipulation")):
            job = Job("visual_manipulation", "train", 2_000_001, "", "ground_truth_masks")
            done = attempt(replace(job, variation=variation))
            assert done.success, "the oracle reads no prompt"
            prompts[variation] = oracle.prompt
    assert len({prompt.text for prompt in prompts.values()}) == 3
    first, swapped = (
        [image.front.crops for image in prompts[v].images]
        for v in (PromptVariation.AS_WRITTEN, PromptVariation.SWAPPED_IMAGES)
    )
    for image, other in zip(first, reversed(swapped), strict=True):
        np.testing.assert_array_equal(image, other)


@pytest.mark.parametrize("task", ["visual_manipulation", "sweep_without_exceeding"])
def test_a_policy_that_reads_whole_images_gets_these_alone(oracle, task):
    oracle.inputs = IMAGES
    done = attempt(Job(task, "train", 2_000_001, "", NO_DETECTOR))
    assert (done.code, len(oracle.seen)) == ("SUCCESS", done.steps), done.reason
    with EpisodeRunner(find_task(task).sample(2_000_001, find_level("train"))) as run:
        first = view_images({view: run.tabletop.render(view) for view in VIEWS})
        for view in VIEWS:
            assert (getattr(oracle.seen[0].images, view) == getattr(first, view)).all()
        assert oracle.seen[0].end_effector == run.tabletop.scene.end_effector
        assets = run.episode.assets
    for shown in (*oracle.seen, *oracle.prompt.images):
        assert len(shown.front) == len(shown.top) == 0
    for image in oracle.prompt.images:
        frames = render_prompt_images(assets[image.name].scene, image.kind)
        expected = view_images({view: frame.rgb for view, frame in frames.items()})
        assert (image.images.front == expected.front).all()
        assert (image.images.top == expected.top).all()


def test_a_detector_is_refused_where_whole_images_are_read(oracle):
    options = argparse.Namespace(
        tasks=["rotate"],
        sim="tabletop",
        levels=["train"],
        seeds=2,
        first_seed=7,
        policy="p",
        pick="",
        detector=[],
    )
    assert {job.detector for job in make_jobs(options, oracle)} == {"ground_truth_masks", "onnx"}
    oracle.inputs = IMAGES
    assert [(job.seed, job.detector) for job in make_jobs(options, oracle)] == [
        (7, NO_DETECTOR),
        (8, NO_DETECTOR),
    ]
    options.detector = ["onnx"]
    with pytest.raises(VimaError, match="reads whole images; valid: no --detector"):
        make_jobs(options, oracle)


def test_the_levels_of_vima_bench_have_their_tasks_and_seeds(oracle):
    options = argparse.Namespace(
        tasks=[],
        sim="vima_bench",
        levels=["L1", "L2", "L3", "L4"],
        seeds=1,
        first_seed=None,
        policy="p",
        pick="",
        detector=["ground_truth_masks"],
    )
    jobs = make_jobs(options, oracle)
    counts = Counter(job.level.split("_")[1] for job in jobs)
    assert counts == {"generalization": 26, "object": 12, "task": 4}
    assert {(job.sim, job.seed) for job in jobs} == {("vima_bench", 600_000)}
    options.first_seed = 700_000
    with pytest.raises(
        VimaError, match="seeds 700000 to 700000 of VIMA-Bench; valid: 0 to 699999"
    ):
        make_jobs(options, oracle)


@pytest.mark.slow
def test_what_touches_in_a_prompts_scene_is_found_apart():
    right = total = 0
    for seed in range(2_000_000, 2_000_010):  # blocks on each other
        for asset in find_task("follow_order").sample(seed, find_level("train")).assets.values():
            shown = len(np.unique(render_prompt_images(asset.scene, asset.kind)["front"].mask)) - 1
            right += len(encode_asset("frame", asset, true_masks=False).front) == shown
            total += 1
    assert right > 0.7 * total


def test_what_was_not_carried_out_is_not_remembered(oracle, monkeypatch):
    nowhere = Action(np.array([49, 99, 25, 25, 25, 49] * 2))
    monkeypatch.setattr(oracle, "infer", lambda seen: SimpleNamespace(action=nowhere))
    done = attempt(Job("visual_manipulation", "train", 2_000_001, "", "ground_truth_masks"))
    assert (done.code, done.steps) == ("TASK_FAILED", 3)
    assert "not solved in 3 steps" in done.reason
    assert done.image.shape == (256, 256, 3)
    assert oracle.recorded == []
    assert len(oracle.missed) == done.steps, "there was nothing to pick"


def test_what_the_policy_refuses_ends_the_episode_with_its_code(oracle, monkeypatch):
    def refuse(_):
        raise VimaError("HISTORY_FULL", "too long")

    monkeypatch.setattr(oracle, "infer", refuse)
    done = attempt(Job("rotate", "train", 2_000_001, "", "ground_truth_masks"))
    assert (done.success, done.code, done.reason, done.steps) == (
        False,
        "HISTORY_FULL",
        "too long",
        0,
    )


def test_the_interval_is_wilsons():
    assert Rate(8, 10).interval == pytest.approx((0.4902, 0.9433), abs=1e-4)
    low, high = Rate(0, 20).interval
    assert low == pytest.approx(0.0, abs=1e-12)
    assert high == pytest.approx(0.1611, abs=1e-4)


@pytest.mark.slow
def test_in_a_process_of_its_own_it_is_the_same_and_all_of_it_is_reported(checkpoint, tmp_path):
    jobs = [
        Job("rotate", "train", seed, checkpoint, "ground_truth_masks")
        for seed in (2_000_001, 2_000_002)
    ]
    attempts = sorted(attempt_all(jobs, workers=1), key=lambda a: a.job.seed)
    here = attempt(jobs[0])
    assert (attempts[0].code, attempts[0].steps) == (here.code, here.steps)
    attempts.append(Attempt(jobs[0], "SUCCESS", "", 1, 1.0))
    first = {"task": "rotate", "distances": [0.01, 0.5], "right_object": True}
    text = write_report(attempts, [first], {"policy": "this"}, tmp_path)
    assert "1/3" in text
    assert "| rotate" in text
    read = json.loads((tmp_path / "report.json").read_text())
    assert [e["code"] for e in read["episodes"]].count("SUCCESS") == 1
    assert list(tmp_path.glob("rotate_ground_truth_masks_*.png"))
    assert rate(attempts).episodes == 3


@pytest.mark.parametrize("folder", EPISODES)
def test_first_actions_beside_the_recorded_ones(checkpoint, folder):
    found = list(first_actions(load_policy(checkpoint), read_demonstrations(folder / "rotate")))
    assert len(found) == len(list(folder.glob("rotate/*.npz")))
    assert {f.task for f in found} == {"rotate"}
    assert all(0 <= d < 1.5 for f in found for d in f.distances)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["visual_manipulation", "rotate"])
def test_the_policy_that_comes_along_does_what_the_prompt_says(task):
    """On seeds that nothing was trained on; how often exactly, docs/policy.md tells."""
    jobs = [
        Job(task, "train", 2_000_000 + i, str(BUNDLED), "ground_truth_masks") for i in range(10)
    ]
    assert rate([attempt(job) for job in jobs]).successes >= 7


def test_shares_are_told_by_detector_and_task():
    job = Job("rotate", "train", 1, "", "ground_truth_masks")
    attempts = [Attempt(job, code, "", 1, 0.0) for code in ("SUCCESS", "SUCCESS", "FAILURE")]
    assert shares_by_task(attempts) == {
        "ground_truth_masks": {"rotate": "2 of 3, 95 %: 21 to 94 %"}
    }
