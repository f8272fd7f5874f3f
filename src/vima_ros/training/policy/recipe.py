"""How a policy is trained: every setting of a recipe's ``recipe:`` section."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vima_ros.errors import VimaError
from vima_ros.training.policy.batching import Spoiling
from vima_ros.training.recipes import MAX_BATCH, MAX_STEPS, TaskWeights, check, setting


@dataclass(frozen=True)
class PolicyRecipe:
    """How a policy is trained. Raises VimaError (BAD_CONFIG) naming the field."""

    steps: int = setting(
        20_000, "optimizer steps in all; the learning rate ends there", low=1, high=MAX_STEPS
    )
    batch: int = setting(64, "episodes per step", low=1, high=MAX_BATCH)
    parts: int = setting(
        2, "pieces of episodes of like length that a batch is computed in, to save memory", low=1
    )
    emphasis: TaskWeights = setting(
        dict,
        "how often a task is drawn, others being drawn once; 0: not at all",
        low=0,
        high=1e6,
    )
    concave: float = setting(
        1.0,
        "how often episodes are drawn that first pick a concave object beside its middle, others "
        "of the task being drawn once",
        above=0,
        high=1e6,
    )
    learning_rate: float = setting(
        1e-3, "highest learning rate; it falls by a cosine to a hundredth", above=0, high=1
    )
    warm_up: int = setting(500, "steps over which the learning rate rises", low=0)
    weight_decay: float = setting(0.01, "weight decay of AdamW, of matrices alone", low=0)
    average: float = setting(
        0.999, "decay per step of the moving average of the weights, which is kept", low=0, high=1
    )
    clip: float = setting(1.0, "largest norm of the gradient", above=0)
    smoothing: float = setting(
        0.7, "width of the bell around the right bin of a position, as its target [bins]", low=0
    )
    help: float = setting(1.0, "weight of each loss that is not the action's", low=0)
    colours: float = setting(0.5, "share of the episodes that are recoloured", low=0, high=1)
    scatter: float = setting(
        0.9, "share of the episodes whose objects are put elsewhere", low=0, high=1
    )
    spoiling: Spoiling = setting(Spoiling, "what a detector gets wrong")
    seed: int = setting(0, "seed of all random numbers", low=0, high=2**31 - 1)

    def __post_init__(self) -> None:
        check(self)
        if self.parts > self.batch:
            raise VimaError(
                "BAD_CONFIG", f"parts is {self.parts}; valid: at most batch, which is {self.batch}"
            )

    def rate(self, step: int) -> float:
        """Learning rate of ``step``."""
        if step < self.warm_up:
            return self.learning_rate * (step + 1) / self.warm_up
        part = (step - self.warm_up) / max(self.steps - self.warm_up, 1)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(part, 1.0))))
