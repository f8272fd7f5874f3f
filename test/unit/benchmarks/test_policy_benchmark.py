"""The benchmark compares what it says it compares, and shows all of it. Speed is not judged."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT

from vima_ros.benchmarks.policy import measure
from vima_ros.benchmarks.policy import plan as planning
from vima_ros.benchmarks.policy.cases import BenchmarkEpisode, FullRecompute, random_prompt
from vima_ros.benchmarks.policy.conditionings import equal_configs
from vima_ros.benchmarks.policy.measure import random_weights, resident
from vima_ros.benchmarks.policy.plan import OBJECTS, STEPS, BenchmarkPlan
from vima_ros.benchmarks.policy.tables import describe, tables
from vima_ros.benchmarks.policy.turns import in_turns, spread
from vima_ros.errors import VimaError
from vima_ros.policy.checkpoints.load import load_network, load_policy
from vima_ros.policy.config import CONDITIONINGS
from vima_ros.policy.model.batching import collate_prompts
from vima_ros.policy.sizes import parameter_count
from vima_ros.specs import HEADS

pytestmark = pytest.mark.slow  # one run for most of them
SIZE = "20M"  # stands for the small policy here


@pytest.fixture(scope="module")
def results():
    """A run over the small policy's sizes, each task called here and not in a process."""

    def child(plan, task, **arguments):
        if "config" in arguments:
            arguments["config"] = {}
        if "counts" in arguments:
            arguments["counts"] = dict.fromkeys(arguments["counts"], (1, 3))
        return json.loads(json.dumps(measure.TASKS[task](**arguments)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "run_in_process", child)
        plan = BenchmarkPlan(sizes=(SIZE,), repeat=2, agreement_size=SIZE, agreement_decisions=10)
        progress = []
        measured = planning.run(plan, progress.append)
    assert [f"{SIZE} {dtype}" in progress for dtype in plan.dtypes] == [True] * 3
    return measured


def test_the_policy_that_comes_along_is_measured_as_it_is():
    told = []
    with planning.prepare_weights(BenchmarkPlan(), planning.BUNDLED_SIZE, told.append) as path:
        assert load_network(Path(path), {})[1]["card"]["parameters"] > 0
    assert told == []


def test_results_survive_json_and_say_where_they_are_from(results):
    read = json.loads(json.dumps(results))
    assert (describe(read), tables(read)) == (describe(results), tables(results))
    assert [case["dtype"] for case in results["cases"]] == ["float32", "bfloat16", "int8"]
    assert {"date", "processor", "cores", "load", "torch", "threads"} <= set(results["machine"])
    line = describe(results)
    for part in (torch.__version__, f"{torch.get_num_threads()} threads", "26 tokens", "2 turns"):
        assert part in line
    assert all(case["kernels"] in line for case in results["cases"])


def test_every_case_has_its_times_and_memory(results):
    for case in results["cases"]:
        steps = {f"step {step}" for step in range(1, STEPS + 1)}
        full = {f"{kind} {step}" for kind in ("full", "plain") for step in (1, STEPS)}
        compared = full if case["dtype"] == "float32" else set()
        assert set(case["times"]) == steps | {"attention", "hidden", "prompt"} | compared
        assert set(case["logits_apart"]) == compared
        for name in steps | {"hidden"} | compared:
            assert set(case["times"][name]) == {"objects", "controller", "decoder", "total"}
        for stages in [*case["times"].values(), *case["batches"].values()]:
            for times in stages.values():
                assert 0 < times["low"] <= times["median"] <= times["high"]
        assert list(case["batches"]) == ["1", "8", "32"]
        memory = case["memory"]
        assert memory["imported"] <= memory["loaded"] <= memory["decided"]
        assert case["file"] > 4 * case["parameters"] > 0


def test_ratios_are_of_what_their_names_say(results):
    """Each within the extremes that its two spreads allow, two turns being all there are."""
    case = results["cases"][0]
    assert len(case["ratios"]) == 2 + 2 * 2 * 2 + 3
    for name, ratio in case["ratios"].items():
        over, under = (part.rsplit(" ", 1) for part in name.split(" / "))
        a, b = (case["times"][what][stage] for what, stage in (over, under))
        # Quartiles of two values are a quarter of the way in from each.
        most = (1.5 * a["high"] - 0.5 * a["low"]) / (1.5 * b["low"] - 0.5 * b["high"])
        least = (1.5 * a["low"] - 0.5 * a["high"]) / (1.5 * b["high"] - 0.5 * b["low"])
        assert least * 0.999 <= ratio["median"] <= most * 1.001, name


def test_tables_have_all_of_it(results):
    shown = {table.title.split(",")[0].split(" [")[0]: table for table in tables(results)}
    assert [len(table.rows) for table in shown.values()] == [STEPS, 3, 4, 1, 3, 9, 2, 4, 6]
    for table in shown.values():
        assert {len(row) for row in table.rows} == {len(table.headings)}
    steps = shown["Each step of an episode"]
    assert [row[2] for row in steps.rows] == [str(step) for step in range(1, STEPS + 1)]
    total = results["cases"][0]["times"]["step 8"]["total"]["median"]
    assert steps.rows[-1][-1].startswith(f"{1e3 * total:.1f} (")
    batch = shown["Several sessions at once"].rows[2]
    median = results["cases"][0]["batches"]["32"]["total"]["median"]
    assert batch[2] == "32"
    assert batch[-1].startswith(f"{1e3 * median / 32:.1f} (")


def test_a_table_without_rows_is_left_out(results):
    int8 = [case for case in results["cases"] if case["dtype"] == "int8"]
    some = results | {
        "cases": int8,
        "agreement": {},
        "plan": results["plan"] | {"dtypes": ["int8"]},
    }
    assert len(tables(some)) == 6


def test_the_four_conditionings_are_equally_large(results):
    measured = results["conditionings"]
    assert list(measured) == list(CONDITIONINGS)
    sizes = [got["parameters"] for got in measured.values()]
    assert max(sizes) < 1.05 * min(sizes)
    assert [got["tokens"] for got in measured.values()] == [2 * OBJECTS, 1, 16, 4]
    for got in measured.values():
        assert set(got["times"]) == {"prompt", "step 1", f"step {STEPS}"}


def test_the_equal_configurations_are_those_of_the_document(results):
    """Counted here; docs/vima_architecture.md, "Equal sizes", has them as a table."""
    document = (ROOT / "docs" / "vima_architecture.md").read_text()
    for kind, config in equal_configs().items():
        counts = parameter_count(config)
        shown = [config.xf_n_layers, config.vit_width, config.vit_patch]
        row = f"| `{kind}` | {' | '.join(map(str, shown))} | "
        line = next(line for line in document.splitlines() if line.startswith(row))
        assert f"| {counts['controller']:,} |" in line
        assert line.endswith(f"| {counts['total']:,} |")


def test_latents_and_tokens_read_the_same(results):
    latents = results["latents"]
    assert {axis: got["tokens"] for axis, got in latents.items()} == {
        "prompt images": [16, 48],
        "frames": [64, 192],
        "objects": [2, 6],
    }
    for got in latents.values():
        assert [len(got[way]) for way in ("plain", "latents")] == [2, 2]


def test_agreement_is_none_with_itself_and_grows_with_rounding(results, tmp_path):
    path = tmp_path / "small.ckpt"
    measure.write_checkpoint(path, {})
    same = measure.measure_agreement(path, ["float32"], "cpu", 10)["float32"]
    assert same == {"decisions": 10, "bins": 0, "any_bin": 0, "position": 0, "logits": 0}
    for got in results["agreement"].values():
        assert 0 < got["logits"] < 0.2
        assert got["bins"] <= got["any_bin"] <= 12 * got["bins"]


@pytest.mark.parametrize("step", [1, 2, STEPS])
@pytest.mark.parametrize("place_head", ["independent", "conditioned"])
def test_full_recompute_decides_the_same(step, place_head):
    policy = load_policy("random", config={"place_head": place_head})
    episode = BenchmarkEpisode(policy, np.random.default_rng(5))
    full = FullRecompute(policy.network, episode, step, policy.now)
    timings, logits = full.decide()
    decision = episode.decide(step)
    assert set(timings) == set(decision.timings)
    for head in HEADS:
        np.testing.assert_allclose(logits[head], decision.logits[head], atol=1e-5)


def test_full_recompute_encodes_every_slot(monkeypatch):
    """Padded slots and equal crops as well, as the published code does."""
    policy = load_policy("random")
    episode = BenchmarkEpisode(policy, np.random.default_rng(6))
    hidden = measure.random_observation(np.random.default_rng(7), 2, OBJECTS)
    episode.observations[0] = hidden
    full = FullRecompute(policy.network, episode, 1, policy.now)
    crops = []
    encode = policy.network.object_encoder.encode_crops
    monkeypatch.setattr(
        policy.network.object_encoder, "encode_crops", lambda x: crops.append(len(x)) or encode(x)
    )
    full.decide()
    assert crops == [2 * OBJECTS]


def test_the_prompt_has_26_tokens():
    prompt = random_prompt(np.random.default_rng(8))
    assert collate_prompts([prompt]).rows.shape == (1, 26)


def test_turns_alternate_and_the_first_does_not_count():
    calls = []

    def case(name):
        calls.append(name)
        return {"total": float(len(calls))}

    groups = [{n: lambda n=n: case(n) for n in group} for group in (["a", "b"], ["c"])]
    samples = in_turns(groups, 2)
    assert calls == ["a", "a", "b", "c", "c"] * 3
    assert [time["total"] for time in samples["b"]] == [8.0, 13.0]


def test_a_spread_is_the_median_and_both_quartiles():
    assert spread([3.0, 1.0, 2.0, 5.0, 4.0]) == {"median": 3.0, "low": 2.0, "high": 4.0}


def test_resident_memory_is_the_peak_or_what_is_left():
    peak, now = resident(), resident(now=True)
    block = np.ones(8 * 10**6 + (peak - now) // 8)  # 64 MB beyond the peak
    size = block.nbytes
    assert resident() - peak >= 0.9 * 64e6
    assert resident(now=True) - now >= 0.9 * size
    del block
    assert resident() - peak >= 0.9 * 64e6
    assert resident(now=True) - now <= 0.1 * size


def test_random_weights_are_always_the_same():
    one, two = random_weights({}), random_weights({})
    for name, weight in one.named_parameters():
        assert torch.equal(weight, two.get_parameter(name))


@pytest.mark.parametrize(
    "wrong",
    [
        {"sizes": ["3M"]},
        {"sizes": []},
        {"dtypes": ["float16"]},
        {"device": "cuda", "dtypes": ["int8"]},
        {"device": "tpu"},
        {"agreement_size": "small"},
        {"repeat": 0},
        {"threads": -1},
    ],
)
def test_a_wrong_plan_is_refused_with_what_is_valid(wrong):
    with pytest.raises(VimaError, match="valid: ") as error:
        BenchmarkPlan(**wrong)
    assert error.value.code == "BAD_PLAN"


def test_a_plan_survives_json():
    assert json.loads(json.dumps(asdict(BenchmarkPlan())))["sizes"] == [
        "bundled",
        "2M",
        "20M",
        "200M",
    ]


def test_a_failing_process_is_reported(capfd):
    with pytest.raises(VimaError, match="no_such_task") as error:
        planning.run_in_process(BenchmarkPlan(), "no_such_task")
    assert error.value.code == "BENCH_FAILED"
    assert "KeyError" in capfd.readouterr().err


def test_a_process_answers_and_keeps_to_its_threads():
    machine = planning.run_in_process(BenchmarkPlan(threads=1), "describe", device="cpu")
    assert (machine["torch"], machine["threads"]) == (torch.__version__, 1)
