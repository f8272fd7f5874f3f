"""Success with varied prompts beside that with the prompts as written, paired by seed."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vima_ros.errors import VimaError
from vima_ros.sim.prompt_variations import PromptVariation
from vima_ros.training.evaluation.paired_comparison import PairedOutcomes
from vima_ros.training.evaluation.policy_report import shares_by_task, write_report
from vima_ros.training.evaluation.policy_rollouts import Attempt, Job
from vima_ros.training.evaluation.prompt_sensitivity import (
    ALL_TASKS,
    add_variations,
    compare_prompts,
    summaries,
)

AS_WRITTEN, PARAPHRASE, SCRAMBLED, SWAPPED, SWAPPED_MEANING = PromptVariation
COUNTS = st.builds(PairedOutcomes, *[st.integers(0, 60)] * 4)


def jobs(*tasks, seeds=3):
    return [Job(task, "train", seed, "", "onnx") for task in tasks for seed in range(seeds)]


def attempts(found, solved):
    """Solved where (task, variation, seed) is in ``solved``."""
    return [
        Attempt(
            job,
            "SUCCESS" if (job.task, job.variation, job.seed) in solved else "TASK_FAILED",
            "",
            1,
            0.0,
        )
        for job in found
    ]


def test_the_interval_is_newcombes():
    low, high = PairedOutcomes(36, 12, 2, 0).interval  # his first example, there second - first
    assert (-high, -low) == pytest.approx((0.0569, 0.3404), abs=1e-4)
    low, high = PairedOutcomes(20, 5, 2, 13).interval  # with his continuity correction, by hand
    assert (-high, -low) == pytest.approx((-0.0590, 0.2038), abs=1e-4)


def test_the_p_value_is_mcnemars():
    assert PairedOutcomes(5, 6, 0, 3).p_value == pytest.approx(2 / 64)
    assert PairedOutcomes(5, 3, 3, 3).p_value == 1.0
    assert PairedOutcomes(5, 0, 0, 3).p_value == 1.0


@given(pairs=COUNTS)
def test_properties_of_a_comparison(pairs):
    assume(pairs.episodes)
    low, high = pairs.interval
    assert -1.0 - 1e-9 <= low <= pairs.difference + 1e-9
    assert pairs.difference - 1e-9 <= high <= 1.0 + 1e-9
    assert pairs.difference == pytest.approx(pairs.second.share - pairs.first.share)
    back = PairedOutcomes(pairs.both, pairs.only_second, pairs.only_first, pairs.neither)
    assert back.interval == pytest.approx((-high, -low))
    assert back.p_value == pairs.p_value


def test_pairs_make_the_interval_narrower():
    """The same two rates, 60 % and 50 %, of runs that agree and of runs that do not."""
    agree, differ = PairedOutcomes(50, 10, 0, 40).interval, PairedOutcomes(30, 30, 20, 20).interval
    assert agree[1] - agree[0] < 0.75 * (differ[1] - differ[0])


def test_each_varied_job_has_its_pair():
    plain = jobs("visual_manipulation", "rotate", "twist")
    made = add_variations(plain, list(PromptVariation)[1:])
    assert [job for job in made if job.variation == AS_WRITTEN] == plain
    for variation, tasks in {
        PARAPHRASE: {"visual_manipulation", "rotate", "twist"},
        SCRAMBLED: {"visual_manipulation", "rotate", "twist"},
        SWAPPED: {"visual_manipulation", "twist"},
        SWAPPED_MEANING: {"twist"},
    }.items():
        varied = [job for job in made if job.variation == variation]
        assert {(j.task, j.seed) for j in varied} == {
            (j.task, j.seed) for j in plain if j.task in tasks
        }
    assert add_variations(plain, []) == plain


def test_images_to_swap_have_to_be_there():
    with pytest.raises(VimaError, match="--swap-pictures with rotate, rearrange"):
        add_variations(jobs("rotate", "rearrange"), [SWAPPED, SWAPPED_MEANING])
    assert len(add_variations(jobs("rotate"), [PARAPHRASE])) == 6
    assert add_variations([], [SWAPPED]) == []


def test_what_is_compared_and_reported(tmp_path):
    made = add_variations(jobs("rotate", "twist", seeds=4), [SCRAMBLED, SWAPPED])
    solved = {("rotate", AS_WRITTEN, seed) for seed in (0, 1, 2)}
    solved |= {("rotate", SCRAMBLED, seed) for seed in (2, 3)} | {("twist", SWAPPED, 0)}
    ended = attempts(reversed(made), solved)
    found = {(c.variation, c.task): c.outcomes for c in compare_prompts(ended)}
    assert found == {
        (SCRAMBLED, "rotate"): PairedOutcomes(1, 2, 1, 0),
        (SCRAMBLED, "twist"): PairedOutcomes(0, 0, 0, 4),
        (SCRAMBLED, ALL_TASKS): PairedOutcomes(1, 2, 1, 4),
        (SWAPPED, "twist"): PairedOutcomes(0, 0, 1, 3),
        (SWAPPED, ALL_TASKS): PairedOutcomes(0, 0, 1, 3),
    }
    text = write_report(ended, [], {}, tmp_path)
    assert "## Prompt sensitivity" in text
    numbers = json.loads((tmp_path / "report.json").read_text())
    rotate = numbers["prompt_sensitivity"][0]
    assert (rotate["task"], rotate["variation"]) == ("rotate", "scrambled words")
    assert (rotate["solved_only_as_written"], rotate["solved_only_varied"]) == (2, 1)
    assert rotate["difference"] == pytest.approx(-0.25)
    assert len(numbers["episodes"]) == len(made)
    assert summaries(compare_prompts(ended))["onnx"]["scrambled words"]["rotate"].startswith(
        "2 of 4, as written 3; difference -25 points, 95 %: "
    )


def test_success_rates_are_those_of_the_prompts_as_written(tmp_path):
    made = add_variations(jobs("rotate", seeds=4), [PARAPHRASE])
    ended = attempts(made, {("rotate", AS_WRITTEN, seed) for seed in range(4)})
    assert shares_by_task(ended)["onnx"]["rotate"].startswith("4 of 4")
    assert "There were none." in write_report(ended, [], {}, tmp_path)
    plain = [a for a in ended if a.job.variation == AS_WRITTEN]
    assert "Prompt sensitivity" not in write_report(plain, [], {}, tmp_path)
