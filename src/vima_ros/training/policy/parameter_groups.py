"""Groups of parameters that are trained alike."""

from __future__ import annotations

from typing import Any

from torch import nn

from vima_ros.training.policy.recipe import PolicyRecipe

RELATIVE_BIAS = "relative_attention_bias"  # of T5, in a parameter's name


def parameter_groups(model: nn.Module, recipe: PolicyRecipe) -> list[dict[str, Any]]:
    """Group parameters for AdamW, with their ``rate``, a multiple of the learning rate.

    Biases, norms and embeddings have no weight decay; the prompt encoder's relative attention
    biases have a rate of their own where the recipe has one.
    """
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    relative: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if RELATIVE_BIAS in name and recipe.relative_bias_rate != 1.0:
            relative.append(parameter)
        elif parameter.ndim < 2 or "embed" in name or "word_table" in name:
            others.append(parameter)
        else:
            matrices.append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": recipe.weight_decay, "rate": 1.0},
        {"params": others, "weight_decay": 0.0, "rate": 1.0},
    ]
    if relative:
        rate = recipe.relative_bias_rate
        groups.append({"params": relative, "weight_decay": 0.0, "rate": rate})
    return groups
