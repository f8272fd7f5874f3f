"""KV cache of an episode, and batched computation of the newest steps of several episodes.

Only the newest step is computed: keys and values of the valid history tokens are kept. Masked
tokens are never attended to, so they need not be kept (docs/vima_architecture.md,
"Cached decoding"). Episodes of a batch may differ in everything; what is shorter is padded on the
right and masked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it
from torch.nn.utils.rnn import pad_sequence

from vima_ros.errors import HistoryFullError, VimaError
from vima_ros.policy.model.attention import KeyValue
from vima_ros.policy.model.controller import AttentionScores, Controller, PromptMemory
from vima_ros.policy.model.heads import PlaceContext, place_context
from vima_ros.policy.model.latents import LatentMemory
from vima_ros.policy.model.network import VimaNetwork
from vima_ros.policy.picked_object import Pick, picked_in_views
from vima_ros.specs import Observation


@dataclass(frozen=True)
class History:
    """State of an episode after its executed steps."""

    kv_cache: tuple[KeyValue, ...]  # per layer, of valid tokens, (1, H, tokens, E / H)
    steps: int = 0
    max_slots: int = 0  # most object slots of a step so far
    action: Tensor | None = None  # (1, E), the last action; not yet in ``kv_cache``
    latents: LatentMemory | None = None  # in place of ``kv_cache``, where latents read the history

    @property
    def length(self) -> int:
        """Number of tokens in ``kv_cache``, which is also the next position."""
        return self.kv_cache[0][0].shape[2]


def begin_history(network: VimaNetwork) -> History:
    """Return the history of an episode's beginning."""
    reader = network.history_reader
    latents = None if reader is None else reader.empty_memory()
    return History(network.controller.empty_kv_cache(), latents=latents)


@dataclass(frozen=True)
class StepInputs:
    """Inputs of the step to decide next."""

    observation: Observation  # without the padded slots that nothing reads
    slots: int  # of this observation
    max_slots: int  # object slots that every step is padded to, this one included
    zero_pad: bool  # the action is read at a zero vector: an earlier step was wider


class StepOutputs(NamedTuple):
    """Outputs of one step of B episodes; scores where they were asked for."""

    predicted: Tensor  # (B, E), which the actions are decoded from
    histories: list[History]  # of each episode, with this step in its cache
    scores: AttentionScores | None = None
    place: PlaceContext | None = None  # of a conditioned place


def prepare_step(
    history: History, observation: Observation, max_tokens: int, image_tokens: int | None = None
) -> StepInputs:
    """Prepare the step that begins with ``observation``.

    ``image_tokens``: tokens of an image pair, where the network reads whole images. Raises
    VimaError: NO_OBJECT for an observation without slots, or a first one without objects;
    HISTORY_FULL beyond ``max_tokens``, padded slots included.
    """
    if image_tokens is not None:
        _check_length(history, image_tokens, max_tokens)
        return StepInputs(observation, image_tokens, image_tokens, False)
    slots, shown = observation.slot_counts, (len(observation.front), len(observation.top))
    if sum(slots) == 0 or (history.steps == 0 and sum(shown) == 0):
        raise VimaError(
            "NO_OBJECT",
            f"step {history.steps} shows {shown[0]} objects in front and {shown[1]} in top, in "
            f"{sum(slots)} slots; valid: 1 or more",
        )
    max_slots = max(history.max_slots, sum(slots))
    _check_length(history, max_slots, max_tokens)
    zero_pad = sum(slots) < max_slots
    front, top = shown
    if not zero_pad and slots[1]:
        top = min(top + 1, slots[1])
    elif not zero_pad:
        front = min(front + 1, slots[0])
    seen = replace(observation, slots=(front, top))
    return StepInputs(seen, front + top, max_slots, zero_pad)


def _check_length(history: History, slots: int, max_tokens: int) -> None:
    length = (history.steps + 1) * slots + history.steps
    if length > max_tokens:
        raise HistoryFullError(
            f"step {history.steps} makes the episode {length} tokens long ({slots} slots a step, "
            f"and the actions); valid: at most {max_tokens}",
            length,
        )


def step_tokens(
    history: History, step: StepInputs, tokens: Tensor, mask: Tensor
) -> tuple[Tensor, int]:
    """Return the tokens a step adds (n, E), and how many are cached: n, or all but the last.

    ``tokens`` (Q or more, E) and ``mask`` (Q or more,): of the slots of ``step.observation``. The
    action is read at the last slot even where that is masked or a zero pad: it then asks, and is
    not kept.
    """
    tokens, mask = tokens[: step.slots], mask[: step.slots]
    parts = [tokens[mask]] if history.action is None else [history.action, tokens[mask]]
    kept = sum(len(part) for part in parts)
    if step.zero_pad:
        parts.append(tokens.new_zeros(1, tokens.shape[1]))
    elif not mask[-1]:
        parts.append(tokens[-1:])
    return torch.cat(parts), kept


def find_picked_tokens(
    place: PlaceContext,
    histories: Sequence[History],
    observations: Sequence[Observation],
    picks: Sequence[Pick],
) -> Tensor:
    """Find the tokens (B, 2) of the objects picked in a step of B episodes, for ``PlaceHead``."""
    length, rows = place.tokens.shape[1], []
    for b, (history, seen, pick) in enumerate(zip(histories, observations, picks, strict=True)):
        first = b * length + (history.action is not None)
        starts = first, first + len(seen.front)
        views = zip(picked_in_views(seen, pick), starts, strict=True)
        rows.append([-1 if at < 0 else start + at for at, start in views])
    return torch.tensor(rows, device=place.tokens.device)


def run_step(
    controller: Controller,
    prompts: Sequence[PromptMemory],
    histories: Sequence[History],
    steps: Sequence[tuple[Tensor, int]],
    score_layers: Collection[int] = (),
) -> StepOutputs:
    """Compute one step of B episodes.

    ``steps``: what ``step_tokens`` gave for each; ``score_layers`` as of ``Controller.forward``.
    """
    tokens = pad_sequence([new for new, _ in steps], batch_first=True)  # (B, T, E)
    device = tokens.device
    counts = torch.tensor([len(new) for new, _ in steps], device=device)
    kept = torch.tensor([kept for _, kept in steps], device=device)[:, None]  # (B, 1)
    lengths = torch.tensor([history.length for history in histories], device=device)[:, None]
    longest = max(history.length for history in histories)  # L

    index = torch.arange(tokens.shape[1], device=device)
    positions = lengths + torch.minimum(index, kept - 1)  # (B, T)
    old = torch.arange(longest, device=device) < lengths  # (B, L)
    new = (index <= index[:, None]) & (index < kept[:, None])  # (B, T, T)
    attend = torch.cat([old[:, None].expand(-1, len(index), -1), new], dim=2)  # (B, T, L + T)

    kv_cache = tuple(map(_join, zip(*(history.kv_cache for history in histories), strict=True)))
    prompt = _join_prompts(prompts)
    scored = {*score_layers, *prompt.score_layers}
    out = controller(tokens, positions, attend, prompt, kv_cache, scored)
    after = []
    for b, (history, (_, kept_b)) in enumerate(zip(histories, steps, strict=True)):
        parts = (_part(layer, b, history.length, longest, kept_b) for layer in out.kv_cache)
        after.append(replace(history, kv_cache=tuple(parts)))
    reads = torch.arange(len(steps), device=device) * len(index) + counts - 1
    return StepOutputs(
        out.tokens.flatten(0, 1)[reads],
        after,
        out.attention if score_layers else None,
        place_context(out, prompt, reads),
    )


def run_latents(
    network: VimaNetwork,
    prompts: Sequence[PromptMemory],
    histories: Sequence[History],
    steps: Sequence[tuple[Tensor, int]],
) -> StepOutputs:
    """Compute one step as ``run_step`` does, of a network whose latents read the history.

    The last slot is not needed to ask for the action where it is masked: a latent does.
    """
    assert network.history_reader is not None
    new = [tokens[:kept] for tokens, kept in steps]
    tokens = pad_sequence(new, batch_first=True)  # (B, T, E)
    counts = torch.tensor([len(part) for part in new], device=tokens.device)
    mask = torch.arange(tokens.shape[1], device=tokens.device) < counts[:, None]
    memories = [history.latents for history in histories if history.latents is not None]
    latents, memories = network.history_reader.read_on(memories, tokens, mask)
    after = [replace(h, latents=memory) for h, memory in zip(histories, memories, strict=True)]
    return StepOutputs(network.predict(latents, _join_prompts(prompts)), after)


def _join(parts: Sequence[KeyValue]) -> KeyValue:
    """Batch keys and values (1, H, any, E / H) of B episodes to (B, H, longest, E / H)."""
    if len(parts) == 1:
        return parts[0]
    longest = max(keys.shape[2] for keys, _ in parts)
    keys, values = (
        torch.cat([F.pad(part, (0, 0, 0, longest - part.shape[2])) for part in kind])
        for kind in zip(*parts, strict=True)
    )
    return keys, values


def _join_prompts(prompts: Sequence[PromptMemory]) -> PromptMemory:
    longest = max(prompt.attend.shape[-1] for prompt in prompts)
    attend = [F.pad(prompt.attend, (0, longest - prompt.attend.shape[-1])) for prompt in prompts]
    layers = map(_join, zip(*(prompt.layers for prompt in prompts), strict=True))
    boxes = [prompt.boxes for prompt in prompts if prompt.boxes is not None]
    return PromptMemory(
        tuple(layers),
        torch.cat(attend),
        pad_sequence([part[0] for part in boxes], batch_first=True) if boxes else None,
    )


def _part(layer: KeyValue, b: int, length: int, longest: int, kept: int) -> KeyValue:
    """Extract episode b of (B, H, L + T, E / H): its cache and the new tokens to cache."""
    keys, values = (kind[b : b + 1] for kind in layer)
    if length == longest:
        return keys[:, :, : longest + kept], values[:, :, : longest + kept]
    old, new = slice(length), slice(longest, longest + kept)
    return (
        torch.cat([keys[:, :, old], keys[:, :, new]], dim=2),
        torch.cat([values[:, :, old], values[:, :, new]], dim=2),
    )
