"""Checks of weights files in either form: their config and their tensors.

Names of tensors are ours, those of ``VimaNetwork.state_dict``; ``name_mapping`` gives the name in
the file, for messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vima_ros.errors import FieldError, VimaError
from vima_ros.policy.config import SIZES as SIZES_OF_CONFIG
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

# Advice for a file of the other form.
OTHER_FORM = {
    SAFETENSORS: "; its name has to end in .safetensors",
    TORCH: "; its name may not end in .safetensors or .json",
}

# Sizes as axes of tensors: field of VimaConfig -> name, axis.
SIZES = {
    "embed_dim": ("controller.positions_embed.weight", 1),
    "max_positions": ("controller.positions_embed.weight", 0),
    "vit_width": ("object_encoder.vit.conv1.weight", 0),
    "vit_patch": ("object_encoder.vit.conv1.weight", 2),
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
# Of parts that not every conditioning has.
OWN_SIZES = {
    "vima": {
        "vit_output": ("object_encoder.vit.projection", 1),
        "box_width": ("object_encoder.box_mlp.front.0.weight", 0),
    },
    "flamingo": {"perceiver_latents": ("object_encoder.perceiver.latents", 0)},
}
# Sizes that no tensor shows, of the parts that a network has.
HEADS_AND_DISTANCES = ("sattn_n_heads", "vit_heads", "t5_max_distance")
OWN_HEADS = {
    "vima": ("xattn_n_heads",),
    "flamingo": ("xattn_n_heads", "perceiver_heads", "perceiver_blocks"),
}
# Axis 0 of tensors that only a network with such latents has.
LATENTS = {
    "prompt_latents": "prompt_reader.perceiver.latents",
    "history_latents": "history_reader.perceiver.latents",
}
# Of a conditioned place's heads.
PLACE_HEAD = "place_head."
PLACE_SIZES = {"place_hidden": (f"{PLACE_HEAD}heads.pose1_position.0.weight", 0)}
TURN_READER = "turn_reader.angles.6.bias"  # axis 0 of it: angles
T5_QUERY = "t5.block.0.layer.0.SelfAttention.q.weight"
LAYERS = {
    "xf_n_layers": r"controller\.h\.(\d+)\.",
    "vit_layers": r"object_encoder\.vit\.blocks\.(\d+)\.",
    "t5_layers": r"t5\.block\.(\d+)\.",
    "perceiver_layers": r"object_encoder\.perceiver\.self_attends\.(\d+)\.",
}


def invalid_checkpoint(reason: str) -> VimaError:
    """Return the VimaError (BAD_CHECKPOINT) with this reason."""
    return VimaError("BAD_CHECKPOINT", f"{reason}; valid: a VIMA checkpoint, whole and float32")


def identity(name: str) -> str:
    """Map a tensor's name to itself, for files that use our names."""
    return name


def check_kind(path: Path, kind: str) -> None:
    """Check that a file is of this kind, as ``file_kind`` names it.

    Raises VimaError (BAD_CHECKPOINT) saying what it is instead.
    """
    got = file_kind(path)
    if got.name == ABSENT:
        raise invalid_checkpoint(f"there is no file {path}")
    if got.name != kind:
        other = OTHER_FORM.get(got.name, "")
        raise invalid_checkpoint(f"{path.name} cannot be read: it is {got.words}{other}")


def unreadable(path: Path, error: Exception) -> VimaError:
    """Return the VimaError (BAD_CHECKPOINT) for a file that could not be read."""
    return invalid_checkpoint(f"{path.name} cannot be read: {why_not_loaded(path, error)}")


def without_wrappers(path: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the parts that DataParallel or torch.compile put into names, and log them.

    Raises VimaError (BAD_CHECKPOINT) where two names are the same without it.
    """
    names = strip_wrappers(state)
    if len(set(names.values())) < len(names):
        raise invalid_checkpoint("two keys are the same once their prefixes are gone")
    log_stripped(path.name, names)
    return {names[name]: tensor for name, tensor in state.items()}


def infer_config(
    state: Mapping[str, Tensor],
    stated: Mapping[str, Any],
    overrides: Mapping[str, int],
    name_mapping: Callable[[str], str] = identity,
    complete: bool = False,
) -> VimaConfig:
    """Infer conditioning and sizes from the tensors, the file's ``cfg`` and ``overrides``.

    ``complete``: ``cfg`` has to state what no tensor shows; else that is as in the published
    models. Raises VimaError: BAD_CHECKPOINT where the file lacks one or contradicts itself,
    BAD_CONFIG for an override that is unknown or that the file contradicts.
    """
    if unknown := sorted(set(map(str, stated)) - set(FIELDS)):
        raise invalid_checkpoint(f"cfg has {', '.join(unknown)}, unknown to VIMA")
    if odd := _no_sizes(stated):
        raise invalid_checkpoint(f"cfg's {odd} are not whole numbers from 1 to {MAX_SIZE}")
    if unknown := sorted(set(overrides) - set(FIELDS)):
        raise VimaError(
            "BAD_CONFIG", f"config has {', '.join(unknown)}; valid: {', '.join(sorted(FIELDS))}"
        )
    if odd := _no_sizes(overrides):
        raise VimaError("BAD_CONFIG", f"config's {odd}; valid: whole numbers from 1 to {MAX_SIZE}")
    words = {"conditioning": find_conditioning(state), "place_head": find_place_head(state)}
    conditioning = words["conditioning"]
    required = {*HEADS_AND_DISTANCES, *OWN_HEADS.get(conditioning, ())}
    if any(name in state for name in LATENTS.values()):
        required.add("perceiver_heads")
    if complete and (missing := sorted(required - set(stated))):
        raise invalid_checkpoint(f"cfg has no {', '.join(missing)}")
    for name, found in words.items():
        if stated.get(name, found) != found:
            raise invalid_checkpoint(f"cfg has {name} {stated[name]}, the tensors are of {found}")
    sizes: dict[str, Any] = words | _sizes(state, conditioning, name_mapping)
    sizes["turn_angles"] = _turn_angles(state, stated)
    stated = {name: value for name, value in stated.items() if name in SIZES_OF_CONFIG}
    for name, value in stated.items():
        if sizes.setdefault(name, value) != value:
            raise invalid_checkpoint(f"cfg has {name} {value}, the tensors have {sizes[name]}")
    for name, value in overrides.items():
        value = tuple(value) if isinstance(value, list) else value
        if sizes.setdefault(name, value) != value:
            raise VimaError("BAD_CONFIG", f"config has {name} {value}, the file {sizes[name]}")
    try:
        return VimaConfig(**sizes)
    except FieldError as error:
        if error.field in overrides:
            raise
        raise invalid_checkpoint(str(error)) from error


def _no_sizes(values: Mapping[str, Any]) -> str:
    """Return the names of values that are not valid sizes."""
    odd = [
        name
        for name, value in values.items()
        if name in SIZES_OF_CONFIG
        and (type(value) is not int or not SIZES_OF_CONFIG[name] <= value <= MAX_SIZE)
    ]
    return ", ".join(odd)


def find_conditioning(state: Mapping[str, Tensor]) -> str:
    """Return the conditioning that these tensors are of, by the parts that they have."""
    if "controller.separator" not in state:
        return "flamingo" if "object_encoder.perceiver.latents" in state else "vima"
    return "gpt" if "object_encoder.vit.cls_token" in state else "gato"


def find_place_head(state: Mapping[str, Tensor]) -> str:
    """Return how the place is decided that these tensors are of."""
    conditioned = any(name.startswith(PLACE_HEAD) for name in state)
    return "conditioned" if conditioned else "independent"


def _turn_angles(state: Mapping[str, Tensor], stated: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the angles of the turn reader, of which the tensors show the number."""
    angles = stated.get("turn_angles", [])
    count = len(state[TURN_READER]) if TURN_READER in state else 0
    if not isinstance(angles, list | tuple) or len(angles) != count:
        raise invalid_checkpoint(f"cfg has turn_angles {angles!r}, the tensors are of {count}")
    return tuple(angles)


def _sizes(
    state: Mapping[str, Tensor], conditioning: str, name_mapping: Callable[[str], str]
) -> dict[str, int]:
    def size(name: str, axis: int) -> int:
        if name not in state:
            raise invalid_checkpoint(f"{name_mapping(name)} is missing")
        shape = state[name].shape
        if len(shape) <= axis or not 0 < shape[axis] <= MAX_SIZE:
            raise invalid_checkpoint(f"{name_mapping(name)} has shape {tuple(shape)}")
        return shape[axis]

    if len(state) > MAX_TENSORS:
        raise invalid_checkpoint(f"there are {len(state)} tensors, more than {MAX_TENSORS}")
    places = SIZES | OWN_SIZES.get(conditioning, {})
    if find_place_head(state) == "conditioned":
        places |= PLACE_SIZES
    sizes = {field: size(*place) for field, place in places.items()}
    sizes |= {field: size(name, 0) if name in state else 0 for field, name in LATENTS.items()}
    sizes["t5_head_width"] = size(T5_QUERY, 0) // sizes["t5_heads"]
    for field, pattern in LAYERS.items():
        matches = (re.match(pattern, name) for name in state)
        count = len({match[1] for match in matches if match})
        if count or field != "perceiver_layers":
            sizes[field] = count
    return sizes


def build_empty(config: VimaConfig) -> VimaNetwork:
    """Build a network whose tensors have shapes and dtypes but no data (meta device)."""
    with torch.device("meta"):
        return VimaNetwork(config)


def check_tensors(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Check every name, shape and dtype. Raises VimaError (BAD_CHECKPOINT) naming a few."""
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
        raise invalid_checkpoint("; ".join(wrong[:3]) + more)


def check_finite(
    weights: Mapping[str, Tensor], name_mapping: Callable[[str], str] = identity
) -> None:
    """Check that all weights are finite. Raises VimaError (BAD_CHECKPOINT)."""
    for name, tensor in weights.items():
        if (
            not torch.stack(tensor.aminmax()).isfinite().all()
        ):  # allocates nothing, and finds NaN too
            raise invalid_checkpoint(f"{name_mapping(name)} holds numbers that are not finite")
