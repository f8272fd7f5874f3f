"""Published checkpoints: every key and shape is checked, and loaded all or nothing.

A checkpoint is a torch file ``{"state_dict": {"policy.<name>": tensor}, "cfg": {name: int}}``
(docs/vima_architecture.md, "Published checkpoints").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vima_ros.files import atomic_path, sha256_of
from vima_ros.policy.checkpoints.validation import (
    build_empty,
    check_finite,
    check_kind,
    check_tensors,
    infer_config,
    invalid_checkpoint,
    unreadable,
    without_wrappers,
)
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.network import VimaNetwork
from vima_ros.specs import HEADS, MAX_HISTORY_TOKENS, MAX_PROMPT_TOKENS
from vima_ros.weight_files import TORCH

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

# Stored (in, out) where torch's linear layers have (out, in).
TRANSPOSED = re.compile(r"controller\.h\.\d+\.(attn|mlp)\.c_(attn|proj|fc)\.weight")

# T5's own word embeddings, which are not used.
T5_WORD_EMBEDDINGS = (
    "t5_prompt_encoder.t5.shared.weight",
    "t5_prompt_encoder.t5.encoder.embed_tokens.weight",
)

# Sizes in a published cfg, and those that are neither there nor in the tensors.
CFG = ("embed_dim", "xf_n_layers", "sattn_n_heads", "xattn_n_heads")
NOT_IN_CHECKPOINT = ("vit_heads", "t5_max_distance")


def load_checkpoint(path: Path, overrides: Mapping[str, int]) -> VimaNetwork:
    """Load the network of a published checkpoint file, on the CPU, in eval mode.

    ``overrides`` gives sizes that are neither in the tensors nor in ``cfg`` (``vit_heads``,
    ``t5_max_distance``); what is not given has the published value. Raises VimaError
    (BAD_CHECKPOINT) naming the key or the reason, (BAD_CONFIG) for an override that is unknown or
    that the file contradicts.
    """
    state, cfg = _read(path)
    ours = {_ours(name): tensor for name, tensor in state.items()}
    config = infer_config(ours, cfg, CFG, overrides, _published)
    network = build_empty(config)
    check_tensors(state, expected_tensors(network))
    for name, buffer in _buffers(config).items():
        if not torch.equal(state[name], buffer):
            raise invalid_checkpoint(f"{name} holds other values than VIMA's")
    weights = {name: _transposed(name, ours[name]) for name in network.state_dict()}
    check_finite(weights, _published)
    network.load_state_dict(weights, strict=True, assign=True)
    return network.eval()


def save_checkpoint(network: VimaNetwork, path: Path) -> str:
    """Write a file in the published form, replacing an existing one; return its sha256.

    Raises VimaError (CANNOT_WRITE), and then nothing is written.
    """
    with atomic_path(path) as temporary:
        with temporary.open("wb") as file:  # a path would have its name stored in the file
            torch.save(published_checkpoint(network), file)
        return sha256_of(temporary)


def published_checkpoint(network: VimaNetwork) -> dict[str, Any]:
    """Convert a network to the object that ``torch.save`` writes and ``load_checkpoint`` reads."""
    ours = network.state_dict()
    buffers = _buffers(network.config)
    state = {}
    for name in expected_tensors(network):
        if name in buffers:
            state[PREFIX + name] = buffers[name]
        elif name in T5_WORD_EMBEDDINGS:
            state[PREFIX + name] = ours["word_table.weight"]
        else:
            state[PREFIX + name] = _transposed(_ours(name), ours[_ours(name)])
    config, published = asdict(network.config), asdict(VimaConfig())
    names = (*CFG, *(name for name in NOT_IN_CHECKPOINT if config[name] != published[name]))
    return {"state_dict": state, "cfg": {name: config[name] for name in names}}


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


def _transposed(ours: str, tensor: Tensor) -> Tensor:
    """Convert between the published layout and ours, in either direction; a view, no copy."""
    return tensor.t() if TRANSPOSED.fullmatch(ours) else tensor


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors by published name without the prefix, and ``cfg``."""
    check_kind(path, TORCH)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file can fail in any way
        raise unreadable(path, error) from error
    if not isinstance(content, dict) or not {"state_dict", "cfg"} <= set(content):
        raise invalid_checkpoint(
            f"{path.name} holds {_summary(content)} where state_dict and cfg were expected"
        )
    state, cfg = content["state_dict"], content["cfg"]
    if not isinstance(cfg, dict) or not isinstance(state, dict):
        raise invalid_checkpoint(
            f"state_dict is {type(state).__name__} and cfg {type(cfg).__name__}, not dicts"
        )
    for name, value in state.items():
        if not isinstance(name, str):
            raise invalid_checkpoint(f"state_dict has a key {name!r}, not a text")
        if not isinstance(value, Tensor) or not _is_dense(value):
            raise invalid_checkpoint(
                f"state_dict[{name!r}] is {type(value).__name__}, not a dense tensor"
            )
    state = without_wrappers(path, state)
    plain = {name.replace(PREFIX, ""): value for name, value in state.items()}
    if len(plain) != len(state):
        raise invalid_checkpoint("two keys are the same once the prefix is gone")
    return plain, cfg


def _summary(content: object) -> str:
    """Describe the content of a file that is no published checkpoint."""
    if not isinstance(content, dict):
        return f"an object of type {type(content).__name__}"
    names = ", ".join(sorted(str(name)[:80] for name in content)[:3])
    if content and all(isinstance(value, Tensor) for value in content.values()):
        return f"only tensors ({len(content)}, such as {names}; another model's state dict?)"
    return f"{len(content)} entries ({names}, …)" if len(content) > 3 else f"[{names}]"


def _is_dense(tensor: Tensor) -> bool:
    """Return whether storage backs every number: no expanded, sparse or meta tensor."""
    if tensor.layout is not torch.strided or tensor.device.type != "cpu":
        return False
    return tensor.untyped_storage().nbytes() >= tensor.numel() * tensor.element_size()


def expected_tensors(network: VimaNetwork) -> dict[str, Tensor]:
    """Return every published name with a tensor of its shape and dtype."""
    ours = network.state_dict()
    expected = {_published(name): _transposed(name, tensor) for name, tensor in ours.items()}
    expected |= _buffers(network.config)
    return expected | dict.fromkeys(T5_WORD_EMBEDDINGS, ours["word_table.weight"])


def _buffers(config: VimaConfig) -> dict[str, Tensor]:
    """Return the stored tensors that are no weights: index ranges and causal masks."""
    prompt, history = torch.arange(MAX_PROMPT_TOKENS), torch.arange(MAX_HISTORY_TOKENS)
    lower = torch.ones(1, 1, MAX_HISTORY_TOKENS, MAX_HISTORY_TOKENS).tril()
    buffers = {"xattn_gpt.position_ids": history, "xattn_gpt.xattn_position_ids": prompt}
    for i in range(config.xf_n_layers):
        buffers[f"xattn_gpt.xattns.{i}.kv_position_ids"] = prompt
        buffers[f"xattn_gpt.h.{i}.attn.bias"] = lower
    return buffers
