"""How the detector is trained: every setting of a recipe's ``recipe:`` section."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vima_ros.training.recipes import MAX_BATCH, MAX_STEPS, check, setting


@dataclass(frozen=True)
class DetectorRecipe:
    """How the detector is trained, by AdamW. Raises VimaError (BAD_CONFIG) naming the field."""

    steps: int = setting(
        10_000, "optimizer steps in all; the learning rate ends there", low=1, high=MAX_STEPS
    )
    batch: int = setting(8, "pictures per step", low=1, high=MAX_BATCH)
    learning_rate: float = setting(
        1e-3, "highest learning rate; it falls as half a cosine to nothing", above=0, high=1
    )
    weight_decay: float = setting(1e-4, "weight decay of AdamW", low=0)
    warmup: int = setting(300, "steps over which the learning rate rises", low=0)
    average: float = setting(
        0.998,
        "decay per step of the moving average of the weights, which is exported",
        low=0,
        high=1,
    )
    clip: float = setting(5.0, "largest norm of the gradient", above=0)
    seed: int = setting(0, "seed of all random numbers", low=0, high=2**31 - 1)

    def __post_init__(self) -> None:
        check(self)

    def rate(self, step: int) -> float:
        """Learning rate at ``step``."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        part = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(part, 1.0)))
