"""T5's encoder on vectors: the prompt encoder.

Specification: docs/vima_architecture.md, "Prompt encoding". Modules are named as in T5's own
checkpoints, ``block.I.layer.0.SelfAttention.q`` and so on.

B batch, P prompt tokens, H heads, D T5's width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.attention import split_heads

DROPOUT = 0.1  # while it is trained; T5's own
EPSILON = 1e-6  # of its norms


class RmsNorm(nn.Module):
    """Division by the root mean square, in float32, and a factor for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., D) to the same shape, in the weight's dtype."""
        mean_square = x.float().pow(2).mean(-1, keepdim=True)
        return self.weight * (x * torch.rsqrt(mean_square + EPSILON)).to(self.weight.dtype)


class RelativeAttention(nn.Module):
    """Self-attention without scaling, whose scores have a bias by relative position added."""

    def __init__(self, config: VimaConfig, owns_bias: bool) -> None:
        super().__init__()
        width, inner = config.t5_width, config.t5_heads * config.t5_head_width
        self.heads = config.t5_heads
        self.q = nn.Linear(width, inner, bias=False)
        self.k = nn.Linear(width, inner, bias=False)
        self.v = nn.Linear(width, inner, bias=False)
        self.o = nn.Linear(inner, width, bias=False)
        if owns_bias:
            self.relative_attention_bias = nn.Embedding(config.t5_buckets, self.heads)

    def forward(self, x: Tensor, mask: Tensor, bias: Tensor) -> Tensor:
        """Map (B, P, D) to the same shape; ``mask`` (B, P), ``bias`` (1, H, P, P)."""
        query, keys, values = (
            split_heads(layer(x), self.heads) for layer in (self.q, self.k, self.v)
        )
        # A masked key's score is the lowest float, whatever the bias.
        lowest = torch.finfo(x.dtype).min
        out = F.scaled_dot_product_attention(
            query,
            keys,
            values,
            attn_mask=torch.where(mask[:, None, None], bias, lowest).contiguous(),
            dropout_p=DROPOUT if self.training else 0.0,
            scale=1.0,
        )
        return self.o(out.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two linear layers with ReLU between."""

    def __init__(self, config: VimaConfig) -> None:
        super().__init__()
        self.wi = nn.Linear(config.t5_width, config.t5_feed_forward, bias=False)
        self.wo = nn.Linear(config.t5_feed_forward, config.t5_width, bias=False)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., D) to the same shape."""
        return self.wo(self.dropout(F.relu(self.wi(x))))


class AttentionSublayer(nn.Module):
    """Norm, attention, and the sum with the input."""

    def __init__(self, config: VimaConfig, owns_bias: bool) -> None:
        super().__init__()
        self.SelfAttention = RelativeAttention(config, owns_bias)
        self.layer_norm = RmsNorm(config.t5_width)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor, mask: Tensor, bias: Tensor) -> Tensor:
        """Map (B, P, D) to the same shape."""
        return x + self.dropout(self.SelfAttention(self.layer_norm(x), mask, bias))


class FeedForwardSublayer(nn.Module):
    """Norm, feed-forward, and the sum with the input."""

    def __init__(self, config: VimaConfig) -> None:
        super().__init__()
        self.DenseReluDense = FeedForward(config)
        self.layer_norm = RmsNorm(config.t5_width)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., D) to the same shape."""
        return x + self.dropout(self.DenseReluDense(self.layer_norm(x)))


class PromptBlock(nn.Module):
    """One of T5's blocks."""

    def __init__(self, config: VimaConfig, owns_bias: bool) -> None:
        super().__init__()
        self.layer = nn.ModuleList(
            [AttentionSublayer(config, owns_bias), FeedForwardSublayer(config)]
        )

    def forward(self, x: Tensor, mask: Tensor, bias: Tensor) -> Tensor:
        """Map (B, P, D) to the same shape."""
        attention, feed_forward = self.layer
        return feed_forward(attention(x, mask, bias))


class PromptEncoder(nn.Module):
    """T5's encoder without a word embedding."""

    def __init__(self, config: VimaConfig) -> None:
        super().__init__()
        self.max_distance = config.t5_max_distance
        self.block = nn.ModuleList(
            PromptBlock(config, owns_bias=i == 0) for i in range(config.t5_layers)
        )
        self.final_layer_norm = RmsNorm(config.t5_width)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Encode vectors (B, P, D) with their mask (B, P) to (B, P, D)."""
        bias = self.position_bias(x.shape[1])
        x = self.dropout(x)
        for block in self.block:
            x = block(x, mask, bias)
        return self.dropout(self.final_layer_norm(x))

    def position_bias(self, length: int) -> Tensor:
        """Look up the bias of each relative position, (1, H, P, P)."""
        table = self.block[0].layer[0].SelfAttention.relative_attention_bias  # type: ignore[index, union-attr]
        positions = torch.arange(length, device=table.weight.device)
        relative = positions - positions[:, None]  # of the key, seen from the query
        buckets = position_buckets(relative, table.num_embeddings, self.max_distance)
        return table(buckets).permute(2, 0, 1)[None]


def position_buckets(relative: Tensor, buckets: int, max_distance: int) -> Tensor:
    """Return the bucket of each relative position, of any shape.

    Half of the buckets are for keys behind the query, the others for those before it. Half of each
    are for one distance, the others for ranges that grow by a factor, up to ``max_distance``.
    """
    each = buckets // 2
    exact = each // 2
    distance = relative.abs()
    growth = torch.log(distance.float() / exact) / math.log(max_distance / exact)
    far = (exact + (growth * (each - exact)).long()).clamp(max=each - 1)
    return (relative > 0).long() * each + torch.where(distance < exact, distance, far)
