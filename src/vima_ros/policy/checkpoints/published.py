"""Published checkpoints: every key and shape is checked, and loaded all or nothing.

A checkpoint is a torch file ``{"state_dict": {"policy.<name>": tensor}, "cfg": {name: int}}``
(docs/vima_architecture.md, "Published checkpoints").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vima_ros.errors import VimaError
from vima_ros.files import atomic_path, sha256_of
from vima_ros.policy.checkpoints.published_names import (
    CFG,
    PREFIX,
    T5_WORD_EMBEDDINGS,
    TOKENS_EMBED,
    VOCABULARY_SIZE,
    buffers,
    controller_name,
    our_name,
    published_name,
    transposed,
)
from vima_ros.policy.checkpoints.validation import (
    LATENTS,
    MAX_SIZE,
    build_empty,
    check_finite,
    check_kind,
    check_tensors,
    find_conditioning,
    infer_config,
    invalid_checkpoint,
    unreadable,
    without_wrappers,
)
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.network import VimaNetwork
from vima_ros.weight_files import TORCH

POLICY = "policy."  # every key begins with it

# Sizes that are neither in a published cfg nor in the tensors.
NOT_IN_CHECKPOINT = ("vit_heads", "t5_max_distance", "perceiver_heads", "perceiver_blocks")


def load_checkpoint(path: Path, overrides: Mapping[str, int]) -> VimaNetwork:
    """Load the network of a published checkpoint file, on the CPU, in eval mode.

    ``overrides`` gives sizes that are neither in the tensors nor in ``cfg`` (``vit_heads``,
    ``t5_max_distance``); what is not given has the published value. Raises VimaError
    (BAD_CHECKPOINT) naming the key or the reason, (BAD_CONFIG) for an override that is unknown or
    that the file contradicts.
    """
    state, cfg = _read(path)
    ours = {our_name(name): tensor for name, tensor in state.items()}
    conditioning = find_conditioning(ours)
    names = CFG[conditioning]

    def published(name: str) -> str:
        return published_name(name, conditioning)

    if missing := [name for name in names if name not in cfg]:
        raise invalid_checkpoint(f"cfg has no {', '.join(missing)}")
    stated = {names.get(name, name): value for name, value in cfg.items()}
    tokens = 1
    if controller_name(conditioning) == PREFIX:
        tokens = stated.pop(VOCABULARY_SIZE, None)
        if type(tokens) is not int or not 0 < tokens <= MAX_SIZE:
            raise invalid_checkpoint(f"cfg has {VOCABULARY_SIZE} {tokens!r}")
    config = infer_config(ours, stated, overrides, published)
    if unpublished := _unpublished(config):
        raise invalid_checkpoint(f"{unpublished}, which the published form has no place for")
    network = build_empty(config)
    check_tensors(state, expected_tensors(network, tokens))
    for name, buffer in buffers(config).items():
        if not torch.equal(state[name], buffer):
            raise invalid_checkpoint(f"{name} holds other values than VIMA's")
    weights = {name: transposed(name, ours[name]) for name in network.state_dict()}
    check_finite(weights, published)
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
    """Convert a network to the object that ``torch.save`` writes and ``load_checkpoint`` reads.

    Raises VimaError (CANNOT_WRITE) for a network with parts of ours.
    """
    if unpublished := _unpublished(network.config):
        raise VimaError(
            "CANNOT_WRITE",
            f"{unpublished}, which the published form has no place for; valid: .safetensors",
        )
    state = {POLICY + name: tensor for name, tensor in expected_tensors(network).items()}
    config, default = asdict(network.config), asdict(VimaConfig())
    names = CFG[network.config.conditioning]
    cfg = {name: config[ours] for name, ours in names.items()}
    cfg |= {name: config[name] for name in NOT_IN_CHECKPOINT if config[name] != default[name]}
    if TOKENS_EMBED in expected_tensors(network):
        cfg[VOCABULARY_SIZE] = 1
    return {"state_dict": state, "cfg": cfg}


def _unpublished(config: VimaConfig) -> str:
    """Return the parts that no published network has, if there are any."""
    counts = {name: getattr(config, name) for name in LATENTS}
    parts = [f"{count} {name}" for name, count in counts.items() if count]
    if config.place_head == "conditioned":
        parts.append("a conditioned place")
    if config.turn_angles:
        parts.append("a turn reader")
    return ", ".join(f"the network has {part}" for part in parts)


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
    plain = {name.replace(POLICY, ""): value for name, value in state.items()}
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


def expected_tensors(network: VimaNetwork, tokens: int = 1) -> dict[str, Tensor]:
    """Return every published name with a tensor of its shape and dtype.

    ``tokens``: rows of the unused token table of gpt and gato.
    """
    ours, config = network.state_dict(), network.config
    expected = {
        published_name(name, config.conditioning): transposed(name, tensor)
        for name, tensor in ours.items()
    }
    expected |= buffers(config)
    if controller_name(config.conditioning) == PREFIX:
        expected[TOKENS_EMBED] = ours["word_table.weight"].new_zeros(tokens, config.embed_dim)
    return expected | dict.fromkeys(T5_WORD_EMBEDDINGS, ours["word_table.weight"])
