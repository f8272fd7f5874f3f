"""Color augmentation: a policy must match objects by appearance, whatever their colors."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from vima_ros.policy.model.batching import ImageBatch, Slots
from vima_ros.training.policy.batching import PolicyBatch

PERMUTATIONS = torch.tensor([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
CONTRAST, BRIGHTNESS = 0.15, 0.08  # maximum change per episode, as a fraction of the range
FLICKER = 0.03  # the same per crop


def recolor(batch: PolicyBatch, fraction: float) -> PolicyBatch:
    """Permute the color channels of a ``fraction`` of the episodes; change the brightness of all.

    All crops of an episode change alike, or its whole images, the prompt's too, except for a
    flicker. Relative brightness stays: prompts refer to it. Episodes that name colors keep the
    order of channels.
    """
    slots = batch.prompt.slots
    if isinstance(slots, ImageBatch):
        views = slots.pixels.flatten(0, 1)
        lit = _recolored(
            views, batch.episode_of.repeat_interleave(2), batch.names_colors, fraction
        )
        new: ImageBatch | Slots = replace(slots, pixels=lit.unflatten(0, (-1, 2)))
    else:
        lit = _recolored(slots.crops, batch.episode_of, batch.names_colors, fraction)
        new = replace(slots, crops=lit)
    return replace(batch, prompt=replace(batch.prompt, slots=new))


def _recolored(
    images: Tensor, episode_of: Tensor, names_colors: Tensor, fraction: float
) -> Tensor:
    """Recolor images (K, 3, h, w) of the episodes ``episode_of`` (K,); see ``recolor``."""
    device, episodes = images.device, len(names_colors)
    which = torch.randint(len(PERMUTATIONS), (episodes,), device=device)
    which = torch.where(names_colors | (torch.rand(episodes, device=device) >= fraction), 0, which)
    order = PERMUTATIONS.to(device)[which][episode_of]  # (K, 3)
    images = images[torch.arange(len(order), device=device)[:, None], order]
    gain = 1.0 + _uniform(episodes, CONTRAST, device)[episode_of]
    shift = _uniform(episodes, BRIGHTNESS, device)[episode_of]
    gain = gain + _uniform(len(images), FLICKER, device)
    shift = 255.0 * (shift + _uniform(len(images), FLICKER, device))
    lit = images.float().mul_(gain[:, None, None, None]).add_(shift[:, None, None, None])
    # Of crops, row 0 is the padding, and a crop's own padding is black too.
    return lit.clamp_(0, 255).mul_(images.any(1, keepdim=True))


def _uniform(count: int, largest: float, device: torch.device) -> Tensor:
    return largest * (2.0 * torch.rand(count, device=device) - 1.0)
