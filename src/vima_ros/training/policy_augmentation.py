"""Episodes in other colours: what matters is which objects look alike, not how they look."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from vima_ros.training.policy_batches import PolicyBatch

PERMUTATIONS = torch.tensor([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
CONTRAST, BRIGHTNESS = 0.15, 0.08  # largest change of an episode's, as a share of the range
FLICKER = 0.03  # of a crop's alone


def recolour(batch: PolicyBatch, share: float) -> PolicyBatch:
    """A ``share`` of the episodes with their colour channels in another order, all lit otherwise.

    The same in all crops of an episode, the prompt's and the moments', but for a flicker. How dark
    or light things are beside each other stays: prompts speak of it.
    """
    slots = batch.prompt.slots
    device, episodes = slots.crops.device, int(batch.episode_of.max()) + 1
    which = torch.randint(len(PERMUTATIONS), (episodes,), device=device)
    which = torch.where(torch.rand(episodes, device=device) < share, which, 0)
    order = PERMUTATIONS.to(device)[which][batch.episode_of]  # (K, 3)
    crops = torch.gather(slots.crops, 1, order[:, :, None, None].expand_as(slots.crops))
    gain = 1.0 + _uniform(episodes, CONTRAST, device)[batch.episode_of]
    shift = _uniform(episodes, BRIGHTNESS, device)[batch.episode_of]
    gain = gain + _uniform(len(crops), FLICKER, device)
    shift = shift + _uniform(len(crops), FLICKER, device)
    lit = crops * gain[:, None, None, None] + 255.0 * shift[:, None, None, None]
    # Row 0 is the padding, and a crop's own padding is black too.
    lit = torch.where(crops.sum(1, keepdim=True) == 0, 0.0, lit).clamp(0, 255).to(torch.uint8)
    return replace(batch, prompt=replace(batch.prompt, slots=replace(slots, crops=lit)))


def _uniform(count: int, largest: float, device: torch.device) -> Tensor:
    return largest * (2.0 * torch.rand(count, device=device) - 1.0)
