"""Benchmark of the four conditionings at equal size, and of latents over many tokens.

The weights are random; they cost what trained ones cost. Times are in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np

from vima_ros.benchmarks.policy.cases import (
    BenchmarkEpisode,
    Times,
    random_images,
    random_observation,
    random_prompt,
    random_view,
)
from vima_ros.benchmarks.policy.plan import STEPS
from vima_ros.benchmarks.policy.turns import by_stage, in_turns, spread
from vima_ros.policy import BUNDLED
from vima_ros.policy.checkpoints.load import load_network, load_policy
from vima_ros.policy.config import CONDITIONINGS, VimaConfig
from vima_ros.policy.policy import Policy
from vima_ros.policy.sizes import TOTAL, match_parameters, parameter_count
from vima_ros.specs import AssetKind, EncodedPrompt, Observation, PromptImage, ViewObjects

IMAGE_PATCH = 32  # [px], of the published models that read whole images
LATENTS = 16
LATENT_TURNS = 3
POSITIONS = 8192  # enough for the largest case without latents
FRAME_PATCH = 16  # [px]: 64 tokens of a frame


def equal_configs() -> dict[str, VimaConfig]:
    """Return the bundled policy's configuration, and the others' with as many parameters."""
    base = load_network(BUNDLED, {})[0].config
    parameters = parameter_count(base)[TOTAL]
    others = [kind for kind in CONDITIONINGS if kind != base.conditioning]
    return {base.conditioning: base} | {
        kind: match_parameters(replace(base, conditioning=kind, vit_patch=IMAGE_PATCH), parameters)
        for kind in others
    }


def measure_conditionings(device: str, repeat: int) -> dict[str, Any]:
    """Measure prompt, step 1 and step 8 of the four in turns."""
    facts: dict[str, Any] = {}
    groups = []
    for kind, config in equal_configs().items():
        policy = load_policy("random", config=asdict(config), device=device)
        episode = BenchmarkEpisode(policy, np.random.default_rng(0))
        groups.append(_cases(kind, policy, episode))
        observation = episode.observations[0]
        facts[kind] = {
            "parameters": parameter_count(config)[TOTAL],
            "layers": config.xf_n_layers,
            "tokens": policy.network.image_tokens or sum(observation.slot_counts),
            "times": {},
        }
    for name, times in in_turns(groups, repeat).items():
        kind, case = name.split(" ", 1)
        facts[kind]["times"][case] = by_stage(times)
    return facts


def _cases(
    kind: str, policy: Policy, episode: BenchmarkEpisode
) -> Mapping[str, Callable[[], Times]]:
    session = policy.session()

    def reset() -> Times:
        session.reset(episode.prompt)
        return {"total": session.prompt_time}

    def decide(step: int) -> Times:
        return episode.decide(step).timings

    steps = {f"{kind} step {step}": partial(decide, step) for step in (1, STEPS)}
    return {**steps, f"{kind} prompt": reset}


def measure_latents(device: str, counts: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Measure reading of prompts and histories of any length, as they are and through latents.

    Each image or crop comes many times and is encoded once, so that its encoder, which is linear
    in any case, takes no part. ``counts``: by axis. Gato has 16 tokens in each prompt image and,
    with smaller patches, 64 in each frame; VIMA has one in each object of a view.
    """
    axes: dict[str, tuple[str, dict[str, int], str, Callable[..., Times]]] = {
        "prompt images": ("gato", {}, "prompt_latents", _read_prompts),
        "frames": ("gato", {"vit_patch": FRAME_PATCH}, "history_latents", _decide_episode),
        "objects": ("vima", {}, "history_latents", _decide_many_objects),
    }
    configs, measured = equal_configs(), {}
    for axis, (kind, sizes, option, case) in axes.items():
        config = asdict(configs[kind]) | sizes | {"max_positions": POSITIONS}
        plain = load_policy("random", config=config, device=device)
        latents = load_policy("random", config=config | {option: LATENTS}, device=device)
        ways, few = {"plain": plain, "latents": latents}, counts[axis]
        for policy in ways.values():
            case(policy, few[:1])  # warm-up
        turns = [{way: case(p, few) for way, p in ways.items()} for _ in range(LATENT_TURNS)]
        tokens = plain.network.image_tokens or 2  # an object is seen in both views
        measured[axis] = {"counts": list(few), "tokens": [count * tokens for count in few]} | {
            way: [spread([turn[way][str(count)] for turn in turns]) for count in few]
            for way in ways
        }
    return measured


def _read_prompts(policy: Policy, counts: Sequence[int]) -> Times:
    """Read prompts with so many images."""
    nothing = ViewObjects.empty()
    images = random_images(np.random.default_rng(0))
    image = PromptImage("p", AssetKind.SCENE, nothing, nothing, images)
    times = {}
    for count in counts:
        policy.reset(EncodedPrompt((*(image,) * count, 1)))
        times[str(count)] = policy.prompt_time
    return times


def _decide_episode(policy: Policy, counts: Sequence[int]) -> Times:
    """Decide an episode of the most frames; the time of all decisions up to each count."""
    rng = np.random.default_rng(1)
    policy.reset(random_prompt(rng, images=0))
    observation, times = random_observation(rng), []
    for _ in range(max(counts)):
        decision = policy.infer(observation)
        policy.record(decision)
        times.append(decision.timings["controller"])
    total = list(accumulate(times))
    return {str(count): total[count - 1] for count in counts}


def _decide_many_objects(policy: Policy, counts: Sequence[int]) -> Times:
    """Decide on so many objects in each view."""
    rng = np.random.default_rng(2)
    policy.reset(random_prompt(rng))
    one = random_view(rng, 1)
    times = {}
    for count in counts:
        view = ViewObjects(*(np.repeat(part, count, axis=0) for part in one.fields))
        times[str(count)] = policy.infer(Observation(view, view)).timings["controller"]
    return times
