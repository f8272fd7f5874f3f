"""Settings of policy training: a recipe's ``recipe:`` section."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from vima_ros.errors import VimaError
from vima_ros.training.policy.detection_noise import DetectionNoise
from vima_ros.training.recipes import MAX_BATCH, MAX_STEPS, TaskWeights, check, setting


@dataclass(frozen=True)
class PolicyRecipe:
    """Settings of policy training. Raises VimaError (BAD_CONFIG) naming the field."""

    steps: int = setting(
        20_000, "optimizer steps in all; the learning rate ends there", low=1, high=MAX_STEPS
    )
    batch_size: int = setting(64, "episodes per step", low=1, high=MAX_BATCH)
    micro_batches: int = setting(
        2,
        "parts of episodes of similar length that a batch is computed in, to save memory; 0: as "
        "few as fit into the GPU's memory",
        low=0,
    )
    precision: str = field(
        default="bfloat16",
        metadata={
            "description": "precision of the computation on a GPU: bfloat16, or float32 as on a "
            "CPU; weights are float32",
            "valid": ("bfloat16", "float32"),
        },
    )
    task_weights: TaskWeights = setting(
        dict,
        "relative sampling weight of a task, 1 if not listed; 0: not at all",
        low=0,
        high=1e6,
    )
    offset_grasp_weight: float = setting(
        1.0,
        "relative sampling weight of episodes that first pick a concave object beside its middle; "
        "others of the task have 1",
        above=0,
        high=1e6,
    )
    learning_rate: float = setting(
        1e-3, "peak learning rate; it decays by a cosine to a hundredth", above=0, high=1
    )
    warmup_steps: int = setting(500, "steps over which the learning rate rises", low=0)
    weight_decay: float = setting(0.01, "weight decay of AdamW, of matrices alone", low=0)
    ema_decay: float = setting(
        0.999, "decay per step of the moving average of the weights, which is saved", low=0, high=1
    )
    max_grad_norm: float = setting(1.0, "maximum norm of the gradient", above=0)
    position_smoothing: float = setting(
        0.7, "standard deviation of a position's target around the demonstrated bin [bins]", low=0
    )
    auxiliary_weight: float = setting(1.0, "weight of each auxiliary loss", low=0)
    first_place_weight: float = setting(
        0.0, "weight of the auxiliary loss for the first place of what is to come back", low=0
    )
    other_picks_weight: float = setting(
        0.5,
        "weight of a pick that was not demonstrated, in the loss of a conditioned place, as a "
        "fraction of a demonstrated one",
        low=0,
    )
    turn_weight: float = setting(
        1.0, "weight of the loss of angles read from pairs of frames, with turn_angles", low=0
    )
    turn_first_steps: int = setting(
        0,
        "first steps, in which only the object encoder and the reader of turn_angles are trained, "
        "on tasks with pairs of frames",
        low=0,
    )
    recombine_fraction: float = setting(
        0.0,
        "fraction of the episodes with an adjective defined by examples, as of novel_adj, that "
        "get other episodes' examples",
        low=0,
        high=1,
    )
    brightness_weight: float = setting(
        0.0, "weight of the auxiliary loss for an object's brightness, of its token", low=0
    )
    relative_bias_rate: float = setting(
        1.0,
        "learning rate of the prompt encoder's relative attention biases, as a multiple of "
        "the rest's; other than 1: without weight decay",
        above=0,
        high=1e3,
    )
    next_frame_weight: float = setting(
        0.0,
        "weight of the auxiliary loss for each object's place in the prompt's next frame, where a "
        "prompt has a frame before and after each action, as of follow_order",
        low=0,
    )
    repeated_move_weight: float = setting(
        1.0,
        "weight of the action losses of moves of an object that moved before, in such prompts, as "
        "a multiple of other moves'",
        low=0,
    )
    recolor_fraction: float = setting(
        0.5, "fraction of the episodes that are recolored", low=0, high=1
    )
    layout_fraction: float = setting(
        0.9, "fraction of the episodes whose objects are moved elsewhere", low=0, high=1
    )
    detection_noise: DetectionNoise = setting(DetectionNoise, "errors of a simulated detector")
    seed: int = setting(0, "seed of all random numbers", low=0, high=2**31 - 1)

    def __post_init__(self) -> None:
        check(self)
        if self.micro_batches > self.batch_size:
            raise VimaError(
                "BAD_CONFIG",
                f"micro_batches is {self.micro_batches}; valid: at most batch_size, which is "
                f"{self.batch_size}",
            )

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of ``step``."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        part = (step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(part, 1.0))))
