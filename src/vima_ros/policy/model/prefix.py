"""Conditioning by a prefix: the prompt stands before the history in one causal sequence.

The way of VIMA-GPT and VIMA-Gato. Specification: docs/vima_architecture.md, "Prefix".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.attention import KeyValue
from vima_ros.policy.model.controller import (
    Controller,
    LayerOutput,
    PromptMemory,
    causal,
    position_ids,
)


class PrefixController(Controller):
    """Self-attention over prompt, separator and history.

    Nothing of the history reaches the prompt's tokens, so they run through the layers once.
    """

    def __init__(self, config: VimaConfig) -> None:
        super().__init__(config)
        # Beside it are the separator, and the latents or at least one token of the history.
        self.max_prompt = config.max_positions - 1 - max(1, config.history_latents)
        self.separator = nn.Parameter(torch.zeros(config.embed_dim))

    def read_prompt(self, tokens: Tensor, mask: Tensor) -> PromptMemory:
        """Compute keys and values of prompt tokens (B, P, E) with mask (B, P) and separator."""
        x = torch.cat([tokens, self.separator.expand(len(tokens), 1, -1)], dim=1)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        x = x + self.positions_embed(position_ids(mask))
        layers, attend = [], causal(mask)
        for block in self.h:
            x, keys_values, _ = block(x, attend, None)
            layers.append(keys_values)
        return PromptMemory(tuple(layers), mask[:, None])

    def first_position(self, prompt: PromptMemory) -> Tensor:
        """Return the position after the separator's, (B, 1): padding has none of its own."""
        return prompt.attend.sum(dim=2)

    def attention_weights(self, prompt: Tensor, history: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the weights of the one self-attention: those of both sum to 1."""
        weights = torch.cat([prompt, history], dim=-1).softmax(-1)
        return weights[..., : prompt.shape[-1]], weights[..., prompt.shape[-1] :]

    def layer(
        self,
        number: int,
        x: Tensor,
        attend: Tensor,
        prompt: PromptMemory,
        cached: KeyValue | None,
        return_scores: bool,
    ) -> LayerOutput:
        """Attend to prompt, separator and history at once."""
        before = prompt.layers[number]
        length = before[0].shape[2]
        if cached is not None:
            before = tuple(map(torch.cat, zip(before, cached, strict=True), (2, 2)))  # type: ignore
        attend = torch.cat([prompt.attend.expand(-1, x.shape[1], -1), attend], dim=2)
        out, (keys, values), scores = self.h[number](x, attend, before, return_scores)
        history = keys[:, :, length:], values[:, :, length:]
        if scores is None:
            return LayerOutput(out, history, None, None, out)
        return LayerOutput(out, history, scores[..., :length], scores[..., length:], out)
