"""Learned latents in place of a prompt's or a history's tokens, for any conditioning.

The latents attend to all tokens once, at a cost that is linear in their number; the layers behind
see a fixed number of latents, however many tokens there are. Specification:
docs/vima_architecture.md, "Latents".

B episodes, S tokens, M latents, H heads, E width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vima_ros.policy.model.controller import causal, position_ids
from vima_ros.policy.model.perceiver import Perceiver

MAX_LATENT_TOKENS = 1 << 20  # beyond it float32 is too coarse for the angles of positions


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Encode positions (...) int64 as (..., width) float32; they have no largest.

    The frequencies are those of Vaswani et al., "Attention is all you need", section 3.5.
    """
    index = torch.arange((width + 1) // 2, device=positions.device)
    angles = positions[..., None] * 10_000.0 ** (-2 * index / width)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)[..., :width]


class LatentReader(nn.Module):
    """Latents that attend once to tokens with positions."""

    def __init__(self, width: int, latents: int, heads: int) -> None:
        super().__init__()
        self.width, self.heads = width, heads
        self.perceiver = Perceiver(width, latents, heads, blocks=0, layers=0)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Read tokens (B, S, E), valid where ``mask`` (B, S), into latents (B, M, E)."""
        return self.perceiver(self.with_positions(tokens, position_ids(mask)), mask)

    def with_positions(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Add the encoding of positions (B, S) to tokens (B, S, E)."""
        return tokens + sinusoids(positions, self.width).to(tokens.dtype)


@dataclass(frozen=True)
class LatentMemory:
    """Everything that the latents have read of an episode; it does not grow with the episode.

    The latents' queries are learned, the same in every step. So the attention to all tokens so far
    is a weighted mean that further tokens are added to: exactly what reading all of them gives.
    """

    mean: Tensor  # (1, H, M, E / H) float32, of the values, weighted by the attention
    log_weight: Tensor  # (1, H, M) float32, log of the sum of exp(score); -inf: nothing read
    length: int = 0  # tokens read, which is also the next position


class HistoryReader(LatentReader):
    """Latents that stand for the whole history at each decision."""

    def read_all(self, tokens: Tensor, mask: Tensor, reads: Tensor) -> Tensor:
        """Read histories (B, S, E) into latents (n, M, E), each up to one token.

        ``reads`` (n,): these tokens, as indices of the flattened (B, S).
        """
        tokens = self.with_positions(tokens, position_ids(mask))
        attend = causal(mask).flatten(0, 1)[reads]  # (n, S)
        return self.perceiver(tokens[reads // mask.shape[1]], attend)

    def empty_memory(self) -> LatentMemory:
        """Return the memory of an episode's beginning."""
        latents = self.perceiver.latents
        mean = latents.new_zeros(1, self.heads, len(latents), self.width // self.heads)
        return LatentMemory(mean.float(), mean[..., 0].float() - torch.inf)

    def read_on(
        self, memories: list[LatentMemory], tokens: Tensor, mask: Tensor
    ) -> tuple[Tensor, list[LatentMemory]]:
        """Read new tokens (B, S, E) of B episodes: the latents (B, M, E), and each new memory.

        ``mask`` (B, S): the valid ones, first in each episode and at least one.
        """
        lengths = torch.tensor([memory.length for memory in memories], device=mask.device)
        tokens = self.with_positions(tokens, lengths[:, None] + position_ids(mask))
        layer = self.perceiver.cross_attention
        latents = self.perceiver.latents.expand(len(tokens), -1, -1)
        query, (keys, values) = layer.project(latents, tokens)
        scores = (query @ keys.mT).float() / keys.shape[-1] ** 0.5  # (B, H, M, S)
        scores = scores.masked_fill(~mask[:, None, None], -torch.inf)
        mean = torch.cat([memory.mean for memory in memories])
        old = torch.cat([memory.log_weight for memory in memories])
        new = scores.logsumexp(-1)
        total = torch.logaddexp(old, new)  # (B, H, M)
        mean = mean * (old - total).exp()[..., None]
        mean = mean + (scores - total[..., None]).exp() @ values.float()
        read = mean.to(values.dtype).transpose(1, 2).flatten(2)  # (B, M, E)
        after = [
            LatentMemory(mean[b, None].clone(), total[b, None].clone(), memory.length + count)
            for b, (memory, count) in enumerate(zip(memories, mask.sum(1).tolist(), strict=True))
        ]
        return layer.update(latents, read), after
