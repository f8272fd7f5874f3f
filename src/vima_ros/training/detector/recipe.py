"""Settings of detector training: a recipe's ``recipe:`` section."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vima_ros.training.recipes import MAX_BATCH, MAX_STEPS, check, setting


@dataclass(frozen=True)
class DetectorRecipe:
    """Settings of detector training by AdamW. Raises VimaError (BAD_CONFIG) naming the field."""

    steps: int = setting(
        10_000, "optimizer steps in all; the learning rate ends there", low=1, high=MAX_STEPS
    )
    batch_size: int = setting(8, "images per step", low=1, high=MAX_BATCH)
    learning_rate: float = setting(
        1e-3, "peak learning rate; it decays by a half cosine to 0", above=0, high=1
    )
    weight_decay: float = setting(1e-4, "weight decay of AdamW", low=0)
    warmup_steps: int = setting(300, "steps over which the learning rate rises", low=0)
    ema_decay: float = setting(
        0.998,
        "decay per step of the moving average of the weights, which is exported",
        low=0,
        high=1,
    )
    max_grad_norm: float = setting(5.0, "maximum norm of the gradient", above=0)
    seed: int = setting(0, "seed of all random numbers", low=0, high=2**31 - 1)

    def __post_init__(self) -> None:
        check(self)

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate at ``step``."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        part = (step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(part, 1.0)))
