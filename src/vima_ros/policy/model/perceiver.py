"""Perceiver: any number of tokens read through a fixed number of learned latents.

After Jaegle et al., "Perceiver IO" (ICLR 2022), as VIMA-Flamingo has it: the latents attend to the
tokens once, then to themselves in blocks that share their weights. Its cost is linear in the
number of tokens. latents.py has the latents that read prompts and histories.

N is the number of sequences, S of tokens, M of latents, E the width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from vima_ros.policy.model.attention import KeyValue, attention, split_heads

LATENT_STD = 0.02  # of new latents, as in Perceiver IO: equal ones would stay equal


class PerceiverLayer(nn.Module):
    """Pre-norm attention of latents to tokens, or to themselves, and a feed-forward."""

    def __init__(self, width: int, heads: int, cross: bool) -> None:
        super().__init__()
        self.heads = heads
        self.query_norm = nn.LayerNorm(width)
        self.token_norm = nn.LayerNorm(width) if cross else None
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.attention_out = nn.Linear(width, width)
        self.ln = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, width)
        self.linear2 = nn.Linear(width, width)

    def forward(
        self, latents: Tensor, tokens: Tensor | None = None, attend: Tensor | None = None
    ) -> Tensor:
        """Map latents (N, M, E) to the same shape; ``attend`` (N, 1, S) bool: valid tokens."""
        query, keys_values = self.project(latents, tokens)
        return self.update(latents, attention(query, keys_values, attend))

    def project(self, latents: Tensor, tokens: Tensor | None = None) -> tuple[Tensor, KeyValue]:
        """Compute the queries of latents, and keys and values of tokens or of these latents."""
        queries = self.query_norm(latents)
        read = queries if self.token_norm is None else self.token_norm(tokens)
        query, keys, values = (
            split_heads(part, self.heads)
            for part in (self.query(queries), self.key(read), self.value(read))
        )
        return query, (keys, values)

    def update(self, latents: Tensor, read: Tensor) -> Tensor:
        """Add what attention read (N, M, E) to the latents, and the feed-forward."""
        y = latents + self.attention_out(read)
        return y + self.linear2(F.gelu(self.linear1(self.ln(y))))


class Perceiver(nn.Module):
    """Learned latents that read tokens: one cross-attention, then ``blocks`` times ``layers``."""

    def __init__(self, width: int, latents: int, heads: int, blocks: int, layers: int) -> None:
        super().__init__()
        self.blocks = blocks
        self.latents = nn.Parameter(torch.randn(latents, width) * LATENT_STD)
        self.cross_attention = PerceiverLayer(width, heads, cross=True)
        self.self_attends = nn.ModuleList(
            PerceiverLayer(width, heads, cross=False) for _ in range(layers)
        )

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Read tokens (N, S, E), valid where ``mask`` (N, S) bool, into latents (N, M, E)."""
        x = self.latents.expand(len(tokens), -1, -1)
        x = self.cross_attention(x, tokens, None if mask is None else mask[:, None])
        for _ in range(self.blocks):
            for layer in self.self_attends:
                x = layer(x)
        return x
