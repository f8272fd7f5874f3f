"""Loss and accuracy of a policy's actions against demonstrated ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from vima_ros.discretization import bin_edges
from vima_ros.specs import BINS, HEAD_BINS, POSITION_BINS
from vima_ros.training.policy.batching import PolicyBatch


def action_losses(
    logits: dict[str, Tensor], batch: PolicyBatch, smoothing: float
) -> dict[str, Tensor]:
    """Compute the mean cross-entropy of each head's components, every episode of equal weight.

    ``smoothing``: a position's target is a bell of that width around its bin [bins]; 0: the bin.
    """
    return cross_entropies(logits, batch.bins, batch.weight, batch.weight.sum(), smoothing)


def cross_entropies(
    logits: dict[str, Tensor], bins: Tensor, weight: Tensor, total: Tensor, smoothing: float
) -> dict[str, Tensor]:
    """Compute the mean cross-entropy of each head's components at ``bins`` (n, 12).

    ``logits``: of any of the heads. A sum over the actions by ``weight`` (n,) / ``total``.
    """
    losses, first = {}, 0
    for head, counts in HEAD_BINS.items():
        targets = bins[:, first : first + len(counts)].unbind(1)
        first += len(counts)
        if head not in logits:
            continue
        width = smoothing if "position" in head else 0.0
        mean = weight.new_zeros(())
        for part, target in zip(logits[head].float().split(counts, -1), targets, strict=True):
            loss = F.cross_entropy(part, _soft(target, part.shape[-1], width), reduction="none")
            mean = mean + (loss * weight).sum() / total
        losses[head] = mean / len(counts)
    return losses


def _soft(target: Tensor, count: int, width: float) -> Tensor:
    """Convert target bins (n,) to probabilities (n, count) if smoothed."""
    if width <= 0.0:
        return target
    distance = torch.arange(count, device=target.device) - target[:, None]
    return torch.softmax(-0.5 * (distance / width) ** 2, dim=-1)


def position_cross_entropy(logits: Tensor, fractions: Tensor) -> Tensor:
    """Compute the cross-entropy of x and y bins (n, 150) at ``fractions`` (n, 2) of the range."""
    loss = logits.new_zeros(())
    for axis, part in enumerate(logits.float().split(POSITION_BINS, -1)):
        edges = torch.tensor(bin_edges(part.shape[-1])).to(fractions)
        bins = torch.bucketize(fractions[:, axis].contiguous(), edges)
        loss = loss + F.cross_entropy(part, bins.clamp(max=len(edges) - 1))
    return loss / 2


def accuracy(logits: dict[str, Tensor], batch: PolicyBatch) -> dict[str, Tensor]:
    """Compute which actions (n,) are correct: positions within 2 cm, rotations in the bins."""
    best = torch.cat(
        [
            torch.stack([part.argmax(-1) for part in logits[head].split(counts, dim=-1)], -1)
            for head, counts in HEAD_BINS.items()
        ],
        dim=-1,
    )  # (n, 12)
    off = (best - batch.bins).abs()
    bins = torch.tensor(BINS, device=off.device)
    assert bins.shape == off.shape[1:]
    near = {name: (off[:, [i, i + 1]] <= 2).all(1) for name, i in (("pose0", 0), ("pose1", 6))}
    turned = (off[:, 8:12] == 0).all(1)
    return {**near, "rotation": turned, "all": near["pose0"] & near["pose1"] & turned}
