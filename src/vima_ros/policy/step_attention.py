"""Reading of a decision's attention out of the controller's scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch

from vima_ros.decision_attention import AttentionToken, DecisionAttention
from vima_ros.policy.model.controller import AttentionScores, PromptMemory
from vima_ros.policy.model.network import VimaNetwork
from vima_ros.specs import VIEWS, EncodedPrompt, Observation


@dataclass(frozen=True, eq=False)
class ReadPrompt:
    """Prompt of an episode, with what the layers attend to of it."""

    prompt: EncodedPrompt
    memory: PromptMemory
    image_tokens: tuple[AttentionToken, ...] | None  # ``VimaNetwork.named_image_tokens``

    @cached_property
    def tokens(self) -> dict[int, AttentionToken]:
        """Tokens that the prompt is read as alone, by their places, without padding."""
        parts = self.image_tokens
        if parts is None:
            counts = [(len(image.front), len(image.top)) for image in self.prompt.images]
            most = [max(each) for each in zip(*counts, strict=True)] or [0, 0]
            places = zip(VIEWS, most, strict=True)
            parts = tuple(AttentionToken(view=v, slot=i) for v, n in places for i in range(n))
        tokens: list[AttentionToken] = []
        for number, token in enumerate(self.prompt.tokens):
            if isinstance(token, int):
                tokens.append(AttentionToken(f"#{token}", number, word=token))
            else:
                text = f"{{{token.name}}}"
                tokens += [replace(p, text=text, token=number, box=None) for p in parts]
        valid = self.memory.attend[0, 0, : len(tokens)].tolist()
        return {i: token for i, token in enumerate(tokens) if valid[i]}


class AttendingStep(NamedTuple):
    """Step of one episode of a batch.

    ``new``: number of its new tokens, of which the last reads the action; ``after_action``: the
    first of them is the action before.
    """

    prompt: ReadPrompt
    observation: Observation
    new: int
    after_action: bool


def observed_tokens(observation: Observation, network: VimaNetwork) -> tuple[AttentionToken, ...]:
    """Name the tokens of an observation, without padding."""
    if network.named_image_tokens is not None:
        return network.named_image_tokens
    return tuple(
        AttentionToken(view=view, slot=slot, box=tuple(box), track_id=track_id)
        for view in VIEWS
        for objects in (getattr(observation, view),)
        for slot, (box, track_id) in enumerate(
            zip(objects.boxes.tolist(), objects.track_ids.tolist(), strict=True)
        )
    )


def read_attention(
    network: VimaNetwork, scores: AttentionScores, steps: Sequence[AttendingStep]
) -> list[DecisionAttention]:
    """Read the attention of each decision of a batch; ``scores``: of the layers wanted."""
    stacked = (torch.stack([*kind.values()], 1) for kind in (scores.prompt, scores.history))
    weights = network.controller.attention_weights(*stacked)
    prompt, history = (each.cpu().numpy() for each in weights)  # (B, L, H, T, P), (…, S)
    cached = history.shape[4] - history.shape[3]
    found = []
    for b, step in enumerate(steps):
        columns = list(step.prompt.tokens)
        observed = observed_tokens(step.observation, network)
        first = int(step.after_action)
        rows, action = slice(first, first + len(observed)), step.new - 1
        now = slice(cached + rows.start, cached + rows.stop)
        found.append(
            DecisionAttention(
                tuple(step.prompt.tokens.values()),
                observed,
                prompt[b, :, :, rows][..., columns],
                prompt[b, :, :, action][..., columns],
                history[b, :, :, action, now],
            )
        )
    return found
