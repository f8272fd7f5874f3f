"""Measurement of one size of the policy, in a process that ``plan.py`` starts.

What is compared is measured in turns and divided within a turn: a disturbed machine then disturbs
both sides. Times are in seconds, memory in bytes.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vima_ros.benchmarks.policy.cases import (
    BenchmarkEpisode,
    FullRecompute,
    Times,
    random_observation,
    random_prompt,
)
from vima_ros.benchmarks.policy.conditionings import measure_conditionings, measure_latents
from vima_ros.benchmarks.policy.plan import HIDDEN, OBJECTS, STEPS
from vima_ros.benchmarks.policy.turns import Spread, by_stage, in_turns, spread
from vima_ros.errors import VimaError
from vima_ros.policy.checkpoints.load import load_network, load_policy, random_network
from vima_ros.policy.checkpoints.published import published_checkpoint
from vima_ros.policy.model.network import VimaNetwork
from vima_ros.policy.policy import Policy
from vima_ros.program import run_program
from vima_ros.specs import BINS, HEADS, Decision, Observation

COMPARED = (1, STEPS)  # steps that are recomputed in full
SESSIONS = (1, 8, 32)  # in a batch
BATCH_REPEAT = 3  # the largest takes seconds
POSITIONS = [0, 1, 6, 7]  # x, y of both poses, among the 12 bins


def resident(now: bool = False) -> int:
    """Return this process's peak resident memory [bytes], or its current one if ``now``."""
    try:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmRSS:" if now else "VmHWM:")[1].split()[0])
    except (OSError, IndexError):
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def describe(device: str) -> dict[str, Any]:
    """Describe PyTorch and its device."""
    if device == "cuda" and not torch.cuda.is_available():
        raise VimaError("BAD_DEVICE", "this PyTorch finds no GPU; valid here: cpu")
    gpu = torch.cuda.get_device_name() if device == "cuda" else "no GPU"
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": gpu}


def random_weights(config: Mapping[str, int]) -> VimaNetwork:
    """Build ``random_network`` with T5's queries scaled down as T5 initializes them.

    T5 does not scale its attention scores (docs/vima_architecture.md, "Prompt encoding").
    Without this they are so large on random weights that the least rounding changes which words
    are read.
    """
    network = random_network(config)
    with torch.no_grad():
        for name, weight in network.t5.named_parameters():
            if name.endswith("SelfAttention.q.weight"):
                weight.mul_(network.config.t5_head_width**-0.5)
    return network


def write_checkpoint(path: str, config: Mapping[str, int]) -> None:
    """Write a published-style file of random weights."""
    torch.save(published_checkpoint(random_weights(config)), path)


def measure_size(path: str, dtype: str, device: str, repeat: int) -> dict[str, Any]:
    """Measure the policy of a file in one dtype.

    The peaks are those of the process: it should have done nothing else before.
    """
    import transformers.models.t5.modeling_t5  # noqa: F401 - importing it is not loading

    imported, start = resident(), time.perf_counter()
    policy = load_policy(path, dtype=dtype, device=device)
    seconds, loaded = time.perf_counter() - start, resident()
    episode = BenchmarkEpisode(policy, np.random.default_rng(0))
    episode.decide(STEPS)
    memory = {"imported": imported, "loaded": loaded, "decided": resident()}
    memory["held"] = resident(now=True)
    if device == "cuda":
        memory["gpu"] = torch.cuda.max_memory_allocated()
    return {
        "parameters": policy.description["parameters"],
        "kernels": policy.description["kernels"],
        "file": Path(path).stat().st_size,
        "loading": seconds,
        "memory": memory,
        **measure_steps(policy, episode, repeat, Path(path) if dtype == "float32" else None),
        "batches": measure_batches(policy),
    }


def measure_steps(
    policy: Policy, episode: BenchmarkEpisode, repeat: int, plain: Path | None
) -> dict[str, Any]:
    """Measure prompt and steps 1 to 8, beside the full recomputation where ``plain`` is given.

    ``plain``: the policy's file, whose network recomputes as it is.
    """
    session = policy.session()

    def reset() -> Times:
        session.reset(episode.prompt)
        return {"total": session.prompt_time}

    def decide(
        step: int, observation: Observation | None = None, attention: bool = False
    ) -> Times:
        return episode.decide(step, observation, attention).timings

    hidden = random_observation(np.random.default_rng(1), OBJECTS - HIDDEN, OBJECTS)
    own: dict[str, Callable[[], Times]] = {
        f"step {step}": partial(decide, step) for step in range(1, STEPS + 1)
    }
    own |= {"attention": partial(decide, STEPS, attention=True)}
    own |= {"hidden": partial(decide, STEPS, hidden), "prompt": reset}
    networks = {}
    if plain is not None:
        network = load_network(plain, {})[0].to(policy.network.word_table.weight.device)
        networks = {"full": policy.network, "plain": network}
    recomputes = {
        (kind, step): FullRecompute(network, episode, step, policy.now)
        for kind, network in networks.items()
        for step in COMPARED
    }

    def recompute(kind: str, step: int) -> Times:
        return recomputes[kind, step].decide()[0]

    again = [
        {f"{kind} {step}": partial(recompute, kind, step) for step in COMPARED}
        for kind in networks
    ]
    samples = in_turns([own, *again], repeat)
    return {
        "times": {name: by_stage(times) for name, times in samples.items()},
        "ratios": _ratios(samples, list(networks)),
        "logits_apart": {
            f"{kind} {step}": _apart(episode.decide(step), case.decide()[1])
            for (kind, step), case in recomputes.items()
        },
    }


def _ratios(samples: Mapping[str, Sequence[Times]], kinds: Sequence[str]) -> dict[str, Spread]:
    """Compute ratios of times in the same turn; a name means "case stage / case stage"."""
    last = f"step {STEPS}"
    wanted = [((last, "controller"), ("step 1", "controller"))]
    wanted += [(("attention", "total"), (last, "total"))]
    for kind in kinds:
        for step in COMPARED:
            for stage in ("controller", "total"):
                wanted.append(((f"{kind} {step}", stage), (f"step {step}", stage)))
    if "plain" in kinds:
        encoding = (f"plain {STEPS}", "objects")
        wanted += [((case, "total"), encoding) for case in ("step 1", last, "hidden")]
    return {
        f"{a} {part_a} / {b} {part_b}": spread(
            [x[part_a] / y[part_b] for x, y in zip(samples[a], samples[b], strict=True)]
        )
        for (a, part_a), (b, part_b) in wanted
    }


def _apart(decision: Decision, logits: Mapping[str, np.ndarray]) -> float:
    """Return the maximum difference, relative to the largest logit."""
    apart = max(float(abs(decision.logits[head] - logits[head]).max()) for head in HEADS)
    return apart / max(float(abs(logits[head]).max()) for head in HEADS)


def measure_batches(policy: Policy) -> dict[str, dict[str, Spread]]:
    """Measure the second step of 1, 8 and 32 sessions at once, each with its own prompt."""
    rng = np.random.default_rng(2)
    sessions = [policy.session() for _ in range(max(SESSIONS))]
    for session in sessions:
        session.reset(random_prompt(rng))
    first = [random_observation(rng) for _ in sessions]
    for session, decision in zip(sessions, Policy.infer_batch(sessions, first), strict=True):
        session.record(decision)
    second = [random_observation(rng) for _ in sessions]

    def decide(n: int) -> Times:
        return Policy.infer_batch(sessions[:n], second[:n])[0].timings

    cases = {str(n): partial(decide, n) for n in SESSIONS}
    return {n: by_stage(times) for n, times in in_turns([cases], BATCH_REPEAT).items()}


def measure_agreement(
    path: str, dtypes: Sequence[str], device: str, decisions: int
) -> dict[str, dict[str, float]]:
    """Measure how often a dtype's bins differ from float32's, over random prompts and episodes.

    The float32 decision is what is executed in both, so that their histories stay the same.
    """
    rng = np.random.default_rng(3)
    reference = load_policy(path, device=device)
    others = {dtype: load_policy(path, device=device, dtype=dtype) for dtype in dtypes}
    pairs: dict[str, list[tuple[Decision, Decision]]] = {dtype: [] for dtype in dtypes}
    for i in range(decisions):
        if i % STEPS == 0:
            prompt = random_prompt(rng, int(rng.integers(5, 30)), int(rng.integers(1, 4)))
            for policy in (reference, *others.values()):
                policy.reset(prompt)
        observation = random_observation(rng, *rng.integers(1, OBJECTS + 1, 2))
        decided = reference.infer(observation)
        for dtype, policy in others.items():
            pairs[dtype].append((decided, policy.infer(observation)))
            assert policy._latest is not None
            policy._latest = decided, policy._latest[1]  # another's decision is executed
            policy.record(decided)
        reference.record(decided)
    return {dtype: _disagreement(both) for dtype, both in pairs.items()}


def _disagreement(pairs: Sequence[tuple[Decision, Decision]]) -> dict[str, float]:
    """Return fractions of different bins and decisions, and the logits' relative differences."""
    bins = np.array([[d.action.bins for d in pair] for pair in pairs])  # (N, 2, 12)
    logits = np.array([[np.concatenate([d.logits[h] for h in HEADS]) for d in p] for p in pairs])
    apart = abs(bins[:, 1] - bins[:, 0])  # (N, 12)
    parts = np.split(logits[:, 0], np.cumsum(BINS)[:-1], axis=1)  # 12 of (N, bins)
    return {
        "decisions": len(pairs),
        "bins": float((apart > 0).mean()),
        "any_bin": float((apart > 0).any(1).mean()),
        "position": float((apart[:, POSITIONS] > 1).any(1).mean()),
        "logits": float(
            abs(logits[:, 1] - logits[:, 0]).mean()
            / np.mean([part.std(1).mean() for part in parts])
        ),
    }


TASKS: dict[str, Callable[..., Any]] = {
    task.__name__: task
    for task in (
        describe,
        write_checkpoint,
        measure_size,
        measure_agreement,
        measure_conditionings,
        measure_latents,
    )
}


def main(args: list[str]) -> None:
    """Run the task in the first argument, JSON with its threads and arguments; print JSON."""
    order = json.loads(args[0])
    if order["threads"]:
        torch.set_num_threads(order["threads"])
    print(json.dumps(TASKS[order["task"]](**order["arguments"])))


if __name__ == "__main__":
    run_program(lambda: main)
