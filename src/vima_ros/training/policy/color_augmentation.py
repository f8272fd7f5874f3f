"""Color augmentation: a policy must match objects by appearance, whatever their colors."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from vima_ros.training.policy.batching import PolicyBatch

PERMUTATIONS = torch.tensor([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
CONTRAST, BRIGHTNESS = 0.15, 0.08  # maximum change per episode, as a fraction of the range
FLICKER = 0.03  # the same per crop


def recolor(batch: PolicyBatch, fraction: float) -> PolicyBatch:
    """Permute the color channels of a ``fraction`` of the episodes; change the brightness of all.

    All crops of an episode change alike, the prompt's too, except for a flicker. Relative
    brightness stays: prompts refer to it. Episodes that name colors keep the order of channels.
    """
    slots = batch.prompt.slots
    device, episodes = slots.crops.device, len(batch.names_colors)
    which = torch.randint(len(PERMUTATIONS), (episodes,), device=device)
    which = torch.where(
        batch.names_colors | (torch.rand(episodes, device=device) >= fraction), 0, which
    )
    order = PERMUTATIONS.to(device)[which][batch.episode_of]  # (K, 3)
    crops = slots.crops[torch.arange(len(order), device=device)[:, None], order]
    gain = 1.0 + _uniform(episodes, CONTRAST, device)[batch.episode_of]
    shift = _uniform(episodes, BRIGHTNESS, device)[batch.episode_of]
    gain = gain + _uniform(len(crops), FLICKER, device)
    shift = 255.0 * (shift + _uniform(len(crops), FLICKER, device))
    lit = crops.float().mul_(gain[:, None, None, None]).add_(shift[:, None, None, None])
    # Row 0 is the padding, and a crop's own padding is black too.
    lit = lit.clamp_(0, 255).mul_(crops.any(1, keepdim=True))
    return replace(batch, prompt=replace(batch.prompt, slots=replace(slots, crops=lit)))


def _uniform(count: int, largest: float, device: torch.device) -> Tensor:
    return largest * (2.0 * torch.rand(count, device=device) - 1.0)
