"""Published checkpoints: every key and shape accounted for, nothing half-loaded.

A checkpoint is a torch file ``{"state_dict": {"policy.<name>": tensor}, "cfg": {name: int}}``
(VIMA_SPEC items 1 to 6).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vima_ros.errors import VimaError
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.network import VimaNetwork
from vima_ros.specs import HEADS, MAX_HISTORY_TOKENS, MAX_PROMPT_TOKENS

PREFIX = "policy."

# Beginning of a published name -> ours; what is not here has its published name.
RENAMED = {
    "obj_encoder.cropped_img_encoder.vit.": "object_encoder.vit.",
    "obj_encoder.bbox_mlp.": "object_encoder.box_mlp.",
    "obj_encoder.pre_transformer_layer.": "object_encoder.join.",
    "prompt_embedding._embed_layer.": "word_table.",
    "prompt_obj_post_layer.": "prompt_object_mlp.",
    "t5_prompt_encoder.t5.encoder.": "t5.",
    "t5_prompt_encoder_post_layer.": "prompt_projection.",
    "end_effector_encoder.": "end_effector_embedding.",
    "obs_fusion_layer.": "observation_fusion.",
    "xattn_gpt.": "controller.",
    "action_encoder._post_layer.": "action_encoder.join.",
}
for _head in HEADS:
    RENAMED[f"action_encoder._embed_dict.{_head}._layer."] = f"action_encoder.heads.{_head}."
    RENAMED[f"action_decoder._decoders.{_head}.mlps."] = f"action_decoder.heads.{_head}."

VIT_IN_PROJ = (".attn.in_proj_", ".attn.in_proj.")  # published, ours

# Stored (in, out) where torch's linear layers have (out, in) (item 5).
TRANSPOSED = re.compile(r"controller\.h\.\d+\.(attn|mlp)\.c_(attn|proj|fc)\.weight")

# T5's own word tables, which nothing reads (item 4).
T5_WORD_TABLES = (
    "t5_prompt_encoder.t5.shared.weight",
    "t5_prompt_encoder.t5.encoder.embed_tokens.weight",
)

# Where the tensors tell a size: field of VimaConfig -> published name, axis.
T5_BLOCK = "t5_prompt_encoder.t5.encoder.block.0"
T5_ATTENTION = f"{T5_BLOCK}.layer.0.SelfAttention"
SIZES = {
    "embed_dim": ("xattn_gpt.positions_embed.weight", 1),
    "vit_width": ("obj_encoder.cropped_img_encoder.vit.conv1.weight", 0),
    "vit_patch": ("obj_encoder.cropped_img_encoder.vit.conv1.weight", 2),
    "vit_output": ("obj_encoder.cropped_img_encoder.vit.projection", 1),
    "box_width": ("obj_encoder.bbox_mlp.front.0.weight", 0),
    "action_hidden": ("action_encoder._embed_dict.pose0_position._layer.0.weight", 0),
    "action_width": ("action_encoder._embed_dict.pose0_position._layer.3.weight", 0),
    "decoder_hidden": ("action_decoder._decoders.pose0_position.mlps.0.0.weight", 0),
    "prompt_object_hidden": ("prompt_obj_post_layer.0.weight", 0),
    "vocabulary": ("prompt_embedding._embed_layer.weight", 0),
    "t5_width": ("prompt_embedding._embed_layer.weight", 1),
    "t5_heads": (f"{T5_ATTENTION}.relative_attention_bias.weight", 1),
    "t5_buckets": (f"{T5_ATTENTION}.relative_attention_bias.weight", 0),
    "t5_feed_forward": (f"{T5_BLOCK}.layer.1.DenseReluDense.wi.weight", 0),
}
LAYERS = {
    "xf_n_layers": r"xattn_gpt\.h\.(\d+)\.",
    "vit_layers": r"obj_encoder\.cropped_img_encoder\.vit\.blocks\.(\d+)\.",
    "t5_layers": r"t5_prompt_encoder\.t5\.encoder\.block\.(\d+)\.",
}
# What a published cfg says, and what neither it nor the tensors do.
CFG = ("embed_dim", "xf_n_layers", "sattn_n_heads", "xattn_n_heads")
UNTOLD = ("vit_heads", "t5_max_distance")


def load_network(path: Path, overrides: Mapping[str, int]) -> VimaNetwork:
    """The network of a published checkpoint file, on the CPU, in eval mode.

    ``overrides`` gives sizes that neither the tensors nor ``cfg`` tell (``vit_heads``,
    ``t5_max_distance``); what is not given has the published value. Raises VimaError
    (BAD_CHECKPOINT) naming the key or the reason, (BAD_CONFIG) for an override that is unknown or
    that the file contradicts.
    """
    state, cfg = _read(path)
    config = _config(state, cfg, overrides)
    with torch.device("meta"):
        network = VimaNetwork(config)
    _check(state, _expected(network))
    for name, buffer in _buffers(config).items():
        if not torch.equal(state[name], buffer):
            raise _bad(f"{name} holds other values than VIMA's")
    ours = network.state_dict()
    weights = {name: tensor for name, tensor in state.items() if _ours(name) in ours}
    for name, tensor in weights.items():
        if not torch.stack(tensor.aminmax()).isfinite().all():  # needs no room, and tells NaN too
            raise _bad(f"{name} holds numbers that are not finite")
    loaded = {_ours(name): _turned(_ours(name), tensor) for name, tensor in weights.items()}
    network.load_state_dict(loaded, strict=True, assign=True)
    return network.eval()


def published_checkpoint(network: VimaNetwork) -> dict[str, Any]:
    """What ``torch.save`` turns into a file that ``load_network`` reads: the way back."""
    ours = network.state_dict()
    buffers = _buffers(network.config)
    state = {}
    for name in _expected(network):
        if name in buffers:
            state[PREFIX + name] = buffers[name]
        elif name in T5_WORD_TABLES:
            state[PREFIX + name] = ours["word_table.weight"]
        else:
            state[PREFIX + name] = _turned(_ours(name), ours[_ours(name)])
    config, published = asdict(network.config), asdict(VimaConfig())
    told = (*CFG, *(name for name in UNTOLD if config[name] != published[name]))
    return {"state_dict": state, "cfg": {name: config[name] for name in told}}


def _bad(reason: str) -> VimaError:
    return VimaError(
        "BAD_CHECKPOINT", f"{reason}; valid: a VIMA checkpoint as published, whole and float32"
    )


def _renamed(name: str, table: Iterable[tuple[str, str]]) -> str:
    for old, new in table:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _ours(published: str) -> str:
    return _renamed(published, RENAMED.items()).replace(VIT_IN_PROJ[0], VIT_IN_PROJ[1])


def _published(ours: str) -> str:
    name = ours.replace(VIT_IN_PROJ[1], VIT_IN_PROJ[0])
    return _renamed(name, ((new, old) for old, new in RENAMED.items()))


def _turned(ours: str, tensor: Tensor) -> Tensor:
    """Between the published layout and ours, in either direction; a view, no copy."""
    return tensor.t() if TRANSPOSED.fullmatch(ours) else tensor


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by published name without the prefix, and ``cfg``."""
    if not path.is_file():
        raise _bad(f"there is no file {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file can fail in any way
        reason = str(error).strip().split("\n")[0]
        raise _bad(f"{path.name} cannot be read: {type(error).__name__}: {reason}") from error
    if not isinstance(content, dict) or not {"state_dict", "cfg"} <= set(content):
        got = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise _bad(f"{path.name} holds {got} where state_dict and cfg were expected")
    state, cfg = content["state_dict"], content["cfg"]
    if not isinstance(cfg, dict) or not isinstance(state, dict):
        raise _bad(f"state_dict is {type(state).__name__} and cfg {type(cfg).__name__}, not dicts")
    for name, value in state.items():
        if not isinstance(value, Tensor) or value.layout is not torch.strided:
            raise _bad(f"state_dict[{name!r}] is {type(value).__name__}, not a dense tensor")
        if not isinstance(name, str):
            raise _bad(f"state_dict has a key {name!r}, not a text")
    plain = {name.replace(PREFIX, ""): value for name, value in state.items()}
    if len(plain) != len(state):
        raise _bad("two keys are the same once the prefix is gone")
    return plain, cfg


def _config(
    state: Mapping[str, Tensor], cfg: Mapping[str, Any], overrides: Mapping[str, int]
) -> VimaConfig:
    known = {item.name for item in fields(VimaConfig)}
    if missing := [name for name in CFG if name not in cfg]:
        raise _bad(f"cfg has no {', '.join(missing)}")
    if unknown := sorted(set(map(str, cfg)) - known):
        raise _bad(f"cfg has {', '.join(unknown)}, which VIMA has not")
    if odd := [name for name, value in cfg.items() if type(value) is not int]:
        raise _bad(f"cfg's {', '.join(odd)} are not numbers")
    if unknown := sorted(set(overrides) - known):
        raise VimaError(
            "BAD_CONFIG", f"config has {', '.join(unknown)}; valid: {', '.join(sorted(known))}"
        )
    told = _sizes(state)
    for name, value in cfg.items():
        if told.setdefault(name, value) != value:
            raise _bad(f"cfg says {name} {value!r}, the tensors say {told[name]}")
    for name, value in overrides.items():
        if told.setdefault(name, value) != value:
            raise VimaError("BAD_CONFIG", f"config says {name} {value}, the file {told[name]}")
    try:
        return VimaConfig(**told)
    except VimaError as error:
        raise _bad(str(error)) from error


def _sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
    def size(name: str, axis: int) -> int:
        if name not in state:
            raise _bad(f"{name} is missing")
        if state[name].ndim <= axis:
            raise _bad(f"{name} has shape {tuple(state[name].shape)}")
        return state[name].shape[axis]

    told = {field: size(*place) for field, place in SIZES.items()}
    told["t5_head_width"] = size(f"{T5_ATTENTION}.q.weight", 0) // max(told["t5_heads"], 1)
    for field, pattern in LAYERS.items():
        matches = (re.match(pattern, name) for name in state)
        told[field] = len({match[1] for match in matches if match})
    return told


def _check(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Every name, shape and dtype, or an error that names the first few that differ."""
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
        raise _bad("; ".join(wrong[:3]) + more)


def _expected(network: VimaNetwork) -> dict[str, Tensor]:
    """Every published name with a tensor of its shape and dtype."""
    ours = network.state_dict()
    expected = {_published(name): _turned(name, tensor) for name, tensor in ours.items()}
    expected |= _buffers(network.config)
    return expected | dict.fromkeys(T5_WORD_TABLES, ours["word_table.weight"])


def _buffers(config: VimaConfig) -> dict[str, Tensor]:
    """Stored, but no weights: index ranges and causal masks (item 3)."""
    prompt, history = torch.arange(MAX_PROMPT_TOKENS), torch.arange(MAX_HISTORY_TOKENS)
    lower = torch.ones(1, 1, MAX_HISTORY_TOKENS, MAX_HISTORY_TOKENS).tril()
    buffers = {"xattn_gpt.position_ids": history, "xattn_gpt.xattn_position_ids": prompt}
    for i in range(config.xf_n_layers):
        buffers[f"xattn_gpt.xattns.{i}.kv_position_ids"] = prompt
        buffers[f"xattn_gpt.h.{i}.attn.bias"] = lower
    return buffers
