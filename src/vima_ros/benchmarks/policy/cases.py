"""Benchmark cases: a random episode, its incremental decisions, and full recomputation.

The weights are random too. They cost what trained ones cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch

from vima_ros.benchmarks.policy.plan import IMAGES, OBJECTS, STEPS, WORDS
from vima_ros.policy.action_selection import select_pick
from vima_ros.policy.model.batching import Slots, collate_observations, collate_prompts
from vima_ros.policy.model.controller import causal, position_ids
from vima_ros.policy.model.heads import place_context
from vima_ros.policy.model.network import VimaNetwork
from vima_ros.policy.picked_object import picked_in_views
from vima_ros.policy.policy import Policy
from vima_ros.specs import (
    BINS,
    CROP_SIZE,
    POLICY_FRAME_HEIGHT,
    POLICY_FRAME_WIDTH,
    VIEW_IMAGE_SIZE,
    AssetKind,
    Decision,
    EncodedPrompt,
    Observation,
    PromptImage,
    ViewImages,
    ViewObjects,
)

Times = Mapping[str, float]  # of the stages of one call [s], as Decision.timings


def random_view(rng: np.random.Generator, objects: int) -> ViewObjects:
    """Draw random boxes with crops of noise."""
    width, height = POLICY_FRAME_WIDTH, POLICY_FRAME_HEIGHT
    return ViewObjects(
        rng.integers(0, (width, height, height, width), (objects, 4)),
        rng.integers(0, 256, (objects, 3, CROP_SIZE, CROP_SIZE), dtype=np.uint8),
        np.ones(objects),
        np.arange(objects),
    )


def random_images(rng: np.random.Generator) -> ViewImages:
    """Draw both views, whole, as noise."""
    return ViewImages(*rng.integers(0, 256, (2, 3, *VIEW_IMAGE_SIZE), dtype=np.uint8))


def random_observation(
    rng: np.random.Generator, front: int = OBJECTS, top: int = OBJECTS
) -> Observation:
    """Draw an observation with so many objects in each view, and whole images."""
    views = random_view(rng, front), random_view(rng, top)
    return Observation(*views, images=random_images(rng))


def random_prompt(
    rng: np.random.Generator, words: int = WORDS, images: int = IMAGES
) -> EncodedPrompt:
    """Draw a prompt of words and one-object images, which are whole images as well.

    VIMA reads it as ``words + 2 * images`` tokens.
    """
    tokens: list[int | PromptImage] = [int(word) for word in rng.integers(3, 1000, words)]
    for i in range(images):
        views = random_view(rng, 1), random_view(rng, 1), random_images(rng)
        image = PromptImage(f"p{i}", AssetKind.OBJECT, *views)
        tokens.insert(int(rng.integers(len(tokens) + 1)), image)
    return EncodedPrompt(tuple(tokens))


class BenchmarkEpisode:
    """Eight steps, each as a session that can decide it repeatedly."""

    def __init__(self, policy: Policy, rng: np.random.Generator) -> None:
        self.prompt = random_prompt(rng)
        self.observations = [random_observation(rng) for _ in range(STEPS)]
        self.decisions: list[Decision] = []  # of every step but the last, executed
        self._sessions = [policy.session() for _ in range(STEPS)]
        for step, session in enumerate(self._sessions):
            session.reset(self.prompt)
            self.decisions = []
            for observation in self.observations[:step]:
                self.decisions.append(session.infer(observation))
                session.record(self.decisions[-1])

    def decide(
        self,
        step: int,
        observation: Observation | None = None,
        return_attention: bool = False,
    ) -> Decision:
        """Decide step 1 to 8 on its own observation or another one."""
        seen = observation or self.observations[step - 1]
        return self._sessions[step - 1].infer(seen, return_attention)


class FullRecompute:
    """Decision without a KV cache, as in the published code.

    The newest observation is encoded with all its slots, then the controller reads the prompt and
    the whole history again. As there, the tokens of the prompt and of earlier steps are kept.
    Collating is not timed. ``now``: a clock [s] that waits for the device.
    """

    @torch.inference_mode()
    def __init__(
        self, network: VimaNetwork, episode: BenchmarkEpisode, step: int, now: Callable[[], float]
    ) -> None:
        weight = network.word_table.weight
        device = weight.device
        self._network, self._now = network, now
        prompt = collate_prompts([episode.prompt]).to(device)
        self._prompt = network.encode_prompt(prompt)
        self._boxes = network.read_prompt(prompt).boxes
        self._observation = episode.observations[step - 1]
        history = collate_observations([episode.observations[:step]]).to(device)
        tokens, mask = network.encode_observations(history)
        # With a place after each step for its action; the last one's is cut off.
        self._mask = torch.nn.functional.pad(mask, (0, 1), value=True).flatten(1, 2)[:, :-1]
        self._earlier = tokens[:, :-1]  # (1, L - 1, Q, E)
        newest = collate_observations([episode.observations[step - 1 : step]])
        assert isinstance(newest.slots, Slots)
        rows = newest.slots.crop_rows
        each = replace(  # a crop for every slot: none is shared
            newest.slots, crops=newest.slots.crops[rows], crop_rows=torch.arange(len(rows))
        )
        self._newest = replace(newest, slots=each).to(device)
        fractions = np.zeros((1, step, len(BINS)), np.float32)  # the last one is never read
        for i, decision in enumerate(episode.decisions[: step - 1]):
            fractions[0, i] = decision.action.fractions
        actions = network.action_encoder(torch.from_numpy(fractions).to(weight))  # (1, L, E)
        self._actions = actions[:, :, None]

    @torch.inference_mode()
    def decide(self) -> tuple[Times, Mapping[str, np.ndarray]]:
        """Return timings as in a Decision, and the logits {head: (C,)}."""
        network, times = self._network, [self._now()]
        newest, _ = network.encode_observations(self._newest)
        times.append(self._now())
        memory = replace(network.controller.read_prompt(*self._prompt), boxes=self._boxes)
        # obs0 act0 obs1 act1 … obsN: tokens (1, T, E)
        steps = torch.cat([self._earlier, newest], dim=1)
        steps = torch.cat([steps, self._actions], dim=2).flatten(1, 2)[:, :-1]
        positions, attend = position_ids(self._mask), causal(self._mask)
        out = network.controller(
            steps, positions, attend, memory, score_layers=memory.score_layers
        )
        last = steps.shape[1] - 1
        place = place_context(out, memory, torch.tensor([last], device=steps.device))
        times.append(self._now())
        decoded = network.action_decoder(out.tokens[:, last])
        logits = {head: value[0].float().cpu().numpy() for head, value in decoded.items()}
        if network.place_head is not None and place is not None:
            views = picked_in_views(self._observation, select_pick(logits["pose0_position"]))
            first = last + 1 - self._newest.rows.shape[2]
            starts = first, first + self._observation.slot_counts[0]
            picked = [
                -1 if at < 0 else start + at for at, start in zip(views, starts, strict=True)
            ]
            decoded = network.place_head(place, torch.tensor([picked], device=steps.device))
            logits |= {head: value[0].float().cpu().numpy() for head, value in decoded.items()}
        times.append(self._now())
        parts = zip(("objects", "controller", "decoder"), pairwise(times), strict=True)
        timings = {stage: end - start for stage, (start, end) in parts}
        return timings | {"total": times[-1] - times[0]}, logits
