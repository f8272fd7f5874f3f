"""What holds for a file of weights in either form: its config, its tensors, its writing.

Names of tensors are ours, those of ``VimaNetwork.state_dict``; ``spelled`` says what a name is
called in the file, for messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vima_ros.errors import VimaError
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.network import VimaNetwork
from vima_ros.state_dict_names import log_stripped, strip_wrappers
from vima_ros.weight_files import (
    ABSENT,
    SAFETENSORS,
    TORCH,
    file_kind,
    why_not_loaded,
)

FIELDS = tuple(item.name for item in fields(VimaConfig))
# Far above any size in use. Up to these, a hostile file costs little time and nothing overflows.
MAX_SIZE = 1 << 20
MAX_TENSORS = 5000

# What to say of a file of the other form.
OTHER_FORM = {
    SAFETENSORS: "; its name has to end in .safetensors",
    TORCH: "; its name may not end in .safetensors or .json",
}

# Where the tensors tell a size: field of VimaConfig -> name, axis.
SIZES = {
    "embed_dim": ("controller.positions_embed.weight", 1),
    "vit_width": ("object_encoder.vit.conv1.weight", 0),
    "vit_patch": ("object_encoder.vit.conv1.weight", 2),
    "vit_output": ("object_encoder.vit.projection", 1),
    "box_width": ("object_encoder.box_mlp.front.0.weight", 0),
    "action_hidden": ("action_encoder.heads.pose0_position.0.weight", 0),
    "action_width": ("action_encoder.heads.pose0_position.3.weight", 0),
    "decoder_hidden": ("action_decoder.heads.pose0_position.0.0.weight", 0),
    "prompt_object_hidden": ("prompt_object_mlp.0.weight", 0),
    "vocabulary": ("word_table.weight", 0),
    "t5_width": ("word_table.weight", 1),
    "t5_heads": ("t5.block.0.layer.0.SelfAttention.relative_attention_bias.weight", 1),
    "t5_buckets": ("t5.block.0.layer.0.SelfAttention.relative_attention_bias.weight", 0),
    "t5_feed_forward": ("t5.block.0.layer.1.DenseReluDense.wi.weight", 0),
}
T5_QUERY = "t5.block.0.layer.0.SelfAttention.q.weight"
LAYERS = {
    "xf_n_layers": r"controller\.h\.(\d+)\.",
    "vit_layers": r"object_encoder\.vit\.blocks\.(\d+)\.",
    "t5_layers": r"t5\.block\.(\d+)\.",
}


def bad(reason: str) -> VimaError:
    """To raise: BAD_CHECKPOINT."""
    return VimaError("BAD_CHECKPOINT", f"{reason}; valid: a VIMA checkpoint, whole and float32")


def same(name: str) -> str:
    """How names are spelled in a file that has ours."""
    return name


def check_kind(path: Path, kind: str) -> None:
    """Check that a file is of this kind, as ``file_kind`` names it.

    Raises VimaError (BAD_CHECKPOINT) saying what it is instead.
    """
    got = file_kind(path)
    if got.name == ABSENT:
        raise bad(f"there is no file {path}")
    if got.name != kind:
        other = OTHER_FORM.get(got.name, "")
        raise bad(f"{path.name} cannot be read: it is {got.words}{other}")


def unreadable(path: Path, error: Exception) -> VimaError:
    """To raise where reading failed: BAD_CHECKPOINT."""
    return bad(f"{path.name} cannot be read: {why_not_loaded(path, error)}")


def without_wrappers(path: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the parts that DataParallel or torch.compile put into names, and log them.

    Raises VimaError (BAD_CHECKPOINT) where two names are the same without it.
    """
    names = strip_wrappers(state)
    if len(set(names.values())) < len(names):
        raise bad("two keys are the same once their prefixes are gone")
    log_stripped(path.name, names)
    return {names[name]: tensor for name, tensor in state.items()}


def config_of(
    state: Mapping[str, Tensor],
    stated: Mapping[str, Any],
    required: Collection[str],
    overrides: Mapping[str, int],
    spelled: Callable[[str], str] = same,
) -> VimaConfig:
    """Sizes as the tensors tell them, joined with what the file's cfg and ``overrides`` say.

    Raises VimaError: BAD_CHECKPOINT where the file lacks one or contradicts itself, BAD_CONFIG for
    an override that is unknown or that the file contradicts.
    """
    if missing := [name for name in required if name not in stated]:
        raise bad(f"cfg has no {', '.join(missing)}")
    if unknown := sorted(set(map(str, stated)) - set(FIELDS)):
        raise bad(f"cfg has {', '.join(unknown)}, which VIMA has not")
    if odd := _no_sizes(stated):
        raise bad(f"cfg's {odd} are not whole numbers from 1 to {MAX_SIZE}")
    if unknown := sorted(set(overrides) - set(FIELDS)):
        raise VimaError(
            "BAD_CONFIG", f"config has {', '.join(unknown)}; valid: {', '.join(sorted(FIELDS))}"
        )
    if odd := _no_sizes(overrides):
        raise VimaError("BAD_CONFIG", f"config's {odd}; valid: whole numbers from 1 to {MAX_SIZE}")
    told = _sizes(state, spelled)
    for name, value in stated.items():
        if told.setdefault(name, value) != value:
            raise bad(f"cfg says {name} {value}, the tensors say {told[name]}")
    for name, value in overrides.items():
        if told.setdefault(name, value) != value:
            raise VimaError("BAD_CONFIG", f"config says {name} {value}, the file {told[name]}")
    try:
        return VimaConfig(**told)
    except VimaError as error:
        if str(error).split()[0] in overrides:  # it names the field first
            raise
        raise bad(str(error)) from error


def _no_sizes(values: Mapping[str, Any]) -> str:
    """Names of those that are none."""
    odd = [n for n, v in values.items() if type(v) is not int or not 0 < v <= MAX_SIZE]
    return ", ".join(odd)


def _sizes(state: Mapping[str, Tensor], spelled: Callable[[str], str]) -> dict[str, int]:
    def size(name: str, axis: int) -> int:
        if name not in state:
            raise bad(f"{spelled(name)} is missing")
        shape = state[name].shape
        if len(shape) <= axis or not 0 < shape[axis] <= MAX_SIZE:
            raise bad(f"{spelled(name)} has shape {tuple(shape)}")
        return shape[axis]

    if len(state) > MAX_TENSORS:
        raise bad(f"there are {len(state)} tensors, more than {MAX_TENSORS}")
    told = {field: size(*place) for field, place in SIZES.items()}
    told["t5_head_width"] = size(T5_QUERY, 0) // told["t5_heads"]
    for field, pattern in LAYERS.items():
        matches = (re.match(pattern, name) for name in state)
        told[field] = len({match[1] for match in matches if match})
    return told


def blank(config: VimaConfig) -> VimaNetwork:
    """A network without weights: its tensors have shapes and dtypes only."""
    with torch.device("meta"):
        return VimaNetwork(config)


def check_tensors(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Every name, shape and dtype. Raises VimaError (BAD_CHECKPOINT) naming a few that differ."""
    wrong = [f"{name} is missing" for name in expected if name not in state]
    wrong += [f"{name} is not VIMA's" for name in state if name not in expected]
    for name, want in expected.items():
        got = state.get(name, want)
        if (got.shape, got.dtype) != (want.shape, want.dtype):
            wrong.append(
                f"{name} is {got.dtype} {tuple(got.shape)}, not {want.dtype} {tuple(want.shape)}"
            )
    if wrong:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        raise bad("; ".join(wrong[:3]) + more)


def check_finite(weights: Mapping[str, Tensor], spelled: Callable[[str], str] = same) -> None:
    """Raises VimaError (BAD_CHECKPOINT)."""
    for name, tensor in weights.items():
        if not torch.stack(tensor.aminmax()).isfinite().all():  # needs no room, and tells NaN too
            raise bad(f"{spelled(name)} holds numbers that are not finite")
