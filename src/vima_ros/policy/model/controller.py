"""The controller: a causal transformer over the history, conditioned on the prompt.

What the two ways to condition share; each has its own file, cross_attention.py and prefix.py.

Specification: docs/vima_architecture.md, "Controller layers", "Attention masks",
"Token positions".

B batch, T new tokens of the history, S cached and new ones together, P prompt tokens, H heads,
E ``embed_dim``. One forward serves both the whole history at once, as in training, and its newest
part alone, as in an episode.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.attention import KeyValue, attention, attention_scores, split_heads


@dataclass(frozen=True)
class PromptMemory:
    """The prompt's keys and values in every layer, computed once.

    ``boxes``: what a conditioned place reads of its images (heads.py), with layer 0's scores.
    """

    layers: tuple[KeyValue, ...]
    attend: Tensor  # (B, 1, P) bool
    boxes: Tensor | None = None  # (B, P, 2, 151)

    @property
    def score_layers(self) -> tuple[int, ...]:
        """Layers whose scores a head needs."""
        return () if self.boxes is None else (0,)

    def select(self, episodes: Tensor) -> PromptMemory:
        """Return the memory of each of these episodes (n,) int64."""
        layers = tuple((keys[episodes], values[episodes]) for keys, values in self.layers)
        return PromptMemory(layers, self.attend[episodes])


@dataclass(frozen=True)
class AttentionScores:
    """Attention before the softmax, -inf where a token may not attend to, by layer asked for.

    ``informed``: the last layer's tokens that have taken from the prompt all they take.
    """

    prompt: dict[int, Tensor]  # (B, H, T, P), of a prefix P + 1: with the separator
    history: dict[int, Tensor]  # (B, H, T, S)
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


class LayerOutput(NamedTuple):
    """Output of one layer; scores (``AttentionScores``) where they were asked for."""

    tokens: Tensor  # (B, T, E)
    keys_values: KeyValue  # of cached and new tokens
    prompt_scores: Tensor | None
    history_scores: Tensor | None
    informed: Tensor  # (B, T, E)


class Controller(nn.Module):
    """Layers over the history; a subclass defines how they take from the prompt."""

    max_prompt: int  # tokens of a prompt that there are positions for

    def __init__(self, config: VimaConfig) -> None:
        super().__init__()
        width = config.embed_dim
        self.heads = config.sattn_n_heads
        self.positions_embed = nn.Embedding(config.max_positions, width)
        self.h = nn.ModuleList(
            Block(width, config.sattn_n_heads) for _ in range(config.xf_n_layers)
        )

    def read_prompt(self, tokens: Tensor, mask: Tensor) -> PromptMemory:
        """Compute what the layers attend to from prompt tokens (B, P, E) and their mask (B, P)."""
        raise NotImplementedError

    def first_position(self, prompt: PromptMemory) -> Tensor | int:
        """Return the position of the history's first token, (B, 1) or for all."""
        raise NotImplementedError

    def max_history(self, prompt: PromptMemory) -> int:
        """Return the number of history tokens that there are positions for after one prompt."""
        return self.positions_embed.num_embeddings - int(self.first_position(prompt))

    def layer(
        self,
        number: int,
        x: Tensor,
        attend: Tensor,
        prompt: PromptMemory,
        cached: KeyValue | None,
        return_scores: bool,
    ) -> LayerOutput:
        """Compute one layer; arguments as of ``forward``, ``x`` (B, T, E)."""
        raise NotImplementedError

    def attention_weights(self, prompt: Tensor, history: Tensor) -> tuple[Tensor, Tensor]:
        """Compute attention to prompt and history from scores (..., T, P) and (..., T, S)."""
        raise NotImplementedError

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
        score_layers: Collection[int] = (),
    ) -> ControllerOutput:
        """Map new tokens (B, T, E) to their outputs, and each layer's S keys and values.

        ``positions`` (B, T) int64, within the history; ``attend`` (B, T, S) bool: which of the
        cached and new tokens each new token may attend to; ``kv_cache``: keys and values of the
        S - T cached tokens. ``score_layers``: numbers of the layers to return the
        ``AttentionScores`` of; without any nothing is computed for them.
        """
        x = tokens + self.positions_embed(positions + self.first_position(prompt))
        layers, prompt_scores, history_scores = [], {}, {}
        for i in range(len(self.h)):
            cached = kv_cache[i] if kv_cache else None
            out = self.layer(i, x, attend, prompt, cached, i in score_layers)
            if out.prompt_scores is not None and out.history_scores is not None:
                prompt_scores[i], history_scores[i] = out.prompt_scores, out.history_scores
            x = out.tokens
            layers.append(out.keys_values)
        if not score_layers:
            return ControllerOutput(x, tuple(layers), None)
        attention = AttentionScores(prompt_scores, history_scores, out.informed)
        return ControllerOutput(x, tuple(layers), attention)
