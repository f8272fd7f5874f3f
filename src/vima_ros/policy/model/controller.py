"""The controller: a causal transformer with cross-attention to the prompt.

Specification: docs/vima_architecture.md, "Controller layers", "Attention masks",
"Token positions".

B batch, T new tokens of the history, S cached and new ones together, P prompt tokens, H heads,
E ``embed_dim``. One forward serves both the whole history at once, as in training, and its newest
part alone, as in an episode.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.attention import KeyValue, attention, attention_scores, split_heads
from vima_ros.specs import MAX_HISTORY_TOKENS, MAX_PROMPT_TOKENS


@dataclass(frozen=True)
class PromptMemory:
    """The prompt's keys and values in every layer's cross-attention, computed once."""

    layers: tuple[KeyValue, ...]
    attend: Tensor  # (B, 1, P) bool


@dataclass(frozen=True)
class AttentionScores:
    """Attention before the softmax, -inf where a token may not attend to; for training only.

    ``informed``: the tokens after the last cross-attention, all that they take from the prompt.
    """

    prompt: Tensor  # (B, H, T, P), of the first cross-attention
    history: Tensor  # (B, H, T, S), of the last self-attention
    informed: Tensor  # (B, T, E)


class ControllerOutput(NamedTuple):
    """Outputs of new tokens, what to cache of them, and the scores where they were asked for."""

    tokens: Tensor  # (B, T, E)
    kv_cache: tuple[KeyValue, ...]  # per layer, of cached and new tokens
    attention: AttentionScores | None


def position_ids(mask: Tensor) -> Tensor:
    """Compute positions, (..., T) bool to int64: a masked token repeats the index before it.

    Masked tokens before the first valid one get 0: nothing reads them.
    """
    return (mask.cumsum(-1) - 1).clamp(min=0)


def causal(mask: Tensor) -> Tensor:
    """Expand the valid tokens (B, T) to (B, T, T) bool: query i may attend to key j."""
    length = mask.shape[-1]
    lower = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    return lower & mask[:, None, :]


class CrossAttention(nn.Module):
    """Cross-attention from the history to the prompt, then a gated feed-forward."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.layernorm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.ln = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, 4 * width, bias=False)
        self.gated_layer = nn.Linear(width, 4 * width, bias=False)
        self.linear2 = nn.Linear(4 * width, width, bias=False)

    def keys_values(self, prompt: Tensor) -> KeyValue:
        """Compute keys and values of the prompt (B, P, E), which is not normalized here."""
        keys, values = self.key_value(prompt).chunk(2, dim=-1)
        return split_heads(keys, self.heads), split_heads(values, self.heads)

    def forward(
        self, x: Tensor, prompt: KeyValue, attend: Tensor, return_scores: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Map (B, T, E) to the same shape, with the scores where wanted; ``attend`` (B, 1, P)."""
        query = split_heads(self.query(self.layernorm(x)), self.heads)
        y = x + self.attention_out(attention(query, prompt, attend))
        # The gate sees y before the norm.
        hidden = F.gelu(self.linear1(self.ln(y))) * self.gated_layer(y)
        scores = attention_scores(query, prompt[0], attend) if return_scores else None
        return y + self.linear2(hidden), scores


class SelfAttention(nn.Module):
    """Self-attention; queries, keys and values from one matrix."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)

    def forward(
        self, x: Tensor, attend: Tensor, cached: KeyValue | None, return_scores: bool = False
    ) -> tuple[Tensor, KeyValue, Tensor | None]:
        """Map (B, T, E) to the same shape, with the keys and values of cached and new tokens."""
        packed = self.c_attn(x).chunk(3, dim=-1)
        query, keys, values = (split_heads(part, self.heads) for part in packed)
        if cached is not None:
            keys = torch.cat([cached[0], keys], dim=2)  # (B, H, S, E / H)
            values = torch.cat([cached[1], values], dim=2)
        out = self.c_proj(attention(query, (keys, values), attend))
        scores = attention_scores(query, keys, attend) if return_scores else None
        return out, (keys, values), scores


class GatedMlp(nn.Module):
    """Feed-forward with a gate, GEGLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.gated_layer = nn.Linear(width, 4 * width, bias=False)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, E) to the same shape."""
        return self.c_proj(F.gelu(self.c_fc(x)) * self.gated_layer(x))


class Block(nn.Module):
    """Self-attention over the history, each norm after its sum."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = SelfAttention(width, heads)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = GatedMlp(width)
        self.ln_2 = nn.LayerNorm(width)

    def forward(
        self, x: Tensor, attend: Tensor, cached: KeyValue | None, return_scores: bool = False
    ) -> tuple[Tensor, KeyValue, Tensor | None]:
        """Map (B, T, E) to the same shape, with what ``SelfAttention`` returns beside."""
        attended, keys_values, scores = self.attn(x, attend, cached, return_scores)
        n = self.ln_1(x + attended)
        return self.ln_2(n + self.mlp(n)), keys_values, scores


class Controller(nn.Module):
    """Layers of cross-attention to the prompt, then self-attention."""

    def __init__(self, config: VimaConfig) -> None:
        super().__init__()
        width, layers = config.embed_dim, range(config.xf_n_layers)
        self.heads = config.sattn_n_heads
        self.positions_embed = nn.Embedding(MAX_HISTORY_TOKENS, width)
        self.xattn_positions_embed = nn.Embedding(MAX_PROMPT_TOKENS, width)
        self.xattns = nn.ModuleList(CrossAttention(width, config.xattn_n_heads) for _ in layers)
        self.h = nn.ModuleList(Block(width, config.sattn_n_heads) for _ in layers)

    def read_prompt(self, tokens: Tensor, mask: Tensor) -> PromptMemory:
        """Compute what the layers attend to from prompt tokens (B, P, E) and their mask (B, P)."""
        prompt = tokens + self.xattn_positions_embed(position_ids(mask))
        memory = (layer.keys_values(prompt) for layer in self.xattns)  # type: ignore[operator]
        return PromptMemory(tuple(memory), mask[:, None])

    def empty_kv_cache(self) -> tuple[KeyValue, ...]:
        """Return the keys and values of no tokens, of one episode: per layer (1, H, 0, E / H)."""
        heads, weight = self.heads, self.positions_embed.weight
        nothing = weight.new_zeros(1, heads, 0, weight.shape[1] // heads)
        return ((nothing, nothing),) * len(self.h)

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        attend: Tensor,
        prompt: PromptMemory,
        kv_cache: tuple[KeyValue, ...] | None = None,
        return_attention: bool = False,
    ) -> ControllerOutput:
        """Map new tokens (B, T, E) to their outputs, and each layer's S keys and values.

        ``positions`` (B, T) int64; ``attend`` (B, T, S) bool: which of the cached and new tokens
        each new token may attend to; ``kv_cache``: keys and values of the S - T cached tokens.
        ``return_attention``: with ``AttentionScores``, which nothing is computed for otherwise.
        """
        x = tokens + self.positions_embed(positions)
        layers, last = [], len(self.h) - 1
        for i, (cross_attention, block) in enumerate(zip(self.xattns, self.h, strict=True)):
            informed, scores = cross_attention(
                x, prompt.layers[i], prompt.attend, return_attention and i == 0
            )
            if i == 0:
                prompt_scores = scores
            x, keys_values, history_scores = block(
                informed, attend, kv_cache[i] if kv_cache else None, return_attention and i == last
            )
            layers.append(keys_values)
        if not return_attention:
            return ControllerOutput(x, tuple(layers), None)
        attention = AttentionScores(prompt_scores, history_scores, informed)
        return ControllerOutput(x, tuple(layers), attention)
