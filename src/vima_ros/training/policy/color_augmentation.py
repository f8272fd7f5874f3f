"""Episodes in other colours: what matters is which objects look alike, not how they look."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from vima_ros.training.policy.batching import PolicyBatch

PERMUTATIONS = torch.tensor([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
CONTRAST, BRIGHTNESS = 0.15, 0.08  # largest change of an episode's, as a share of the range
FLICKER = 0.03  # of a crop's alone


def recolour(batch: PolicyBatch, share: float) -> PolicyBatch:
    """A ``share`` of the episodes with their colour channels in another order, all lit otherwise.

    The same in all crops of an episode, the prompt's and the moments', but for a flicker. How dark
    or light things are beside each other stays: prompts speak of it. Those that name colours keep
    the order of their channels.
    """
    slots = batch.prompt.slots
    device, episodes = slots.crops.device, len(batch.names_colours)
    which = torch.randint(len(PERMUTATIONS), (episodes,), device=device)
    which = torch.where(
        batch.names_colours | (torch.rand(episodes, device=device) >= share), 0, which
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
