"""Our own form of a checkpoint: NAME.safetensors and NAME.json beside it.

NAME.safetensors holds ``VimaNetwork.state_dict()``: our names, float32, (out, in) as torch's
layers have them, and nothing else. NAME.json is an object with

- ``format``: ``FORMAT``;
- ``config``: fields of VimaConfig; all are written, and those that no tensor shows are needed;
- ``sha256``: of NAME.safetensors, so that the two belong together;
- ``card``: the start of a model card, an object. It has ``describe`` and ``source`` (the file it
  was converted from: ``{"file", "sha256"}``, or null), ``tokenizer``, a TokenizerIdentity, and
  ``pick``, one of PICKS (action_selection.py; absent: by the bins); training adds further entries.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vima_ros.errors import VimaError
from vima_ros.files import atomic_path, sha256_of
from vima_ros.policy.action_selection import BY_BINS, PICKS
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
from vima_ros.policy.config import PUBLISHED
from vima_ros.policy.model.network import VimaNetwork
from vima_ros.weight_files import JSON, SAFETENSORS

SUFFIX = ".safetensors"
FORMAT = "vima_ros weights 1"
MAX_TEXT = 1 << 20  # of NAME.json [bytes]
PARTS = {"format": str, "config": dict, "sha256": str, "card": dict}
NAMES = {"vima": "VIMA", "gpt": "VIMA-GPT", "gato": "VIMA-Gato", "flamingo": "VIMA-Flamingo"}
TOKENIZER = {"sha256": str, "words": int}  # of the card


def describe(network: VimaNetwork) -> dict[str, Any]:
    """Return the first entries of the model card: name and parameter counts.

    The name is that of the published size it has, or one made of the conditioning and the
    controller's parameters.
    """
    controller = sum(p.numel() for p in network.controller.parameters())
    millions = f"{controller / 1e6:.3g}M"
    names = [name for name, config in PUBLISHED.items() if config == network.config]
    return {
        "name": names[0] if names else f"{NAMES[network.config.conditioning]} {millions}",
        "parameters": sum(p.numel() for p in network.parameters()),
        "controller_parameters": controller,
    }


def save_weights(network: VimaNetwork, path: Path, card: Mapping[str, Any]) -> str:
    """Write NAME.safetensors (``path``) and NAME.json, replacing existing ones; return the sha256.

    ``card``: entries beside those of ``describe``, or another name; must be valid JSON. Raises
    VimaError, and then nothing is written: BAD_CHECKPOINT for a network that would not load again,
    BAD_CARD, CANNOT_WRITE.
    """
    _check_suffix(path)
    weights = network.state_dict()
    _check(weights, build_empty(network.config))
    infer_config(weights, asdict(network.config), {}, complete=True)
    document = {
        "format": FORMAT,
        "config": asdict(network.config),
        "sha256": "",
        "card": _full_card({"source": None, **card}, network),
    }
    # The tensors take their place first: a reader in between sees that the two do not belong
    # together.
    with atomic_path(path.with_suffix(".json")) as text, atomic_path(path) as tensors:
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        try:
            save_file(plain, tensors)
        except SafetensorError as error:  # the disk is full, say
            raise OSError(str(error)) from error
        document["sha256"] = sha256 = sha256_of(tensors)
        text.write_bytes(_checked_text(document))
        tensors.chmod(text.stat().st_mode)  # safetensors writes for the owner only
    return sha256


def load_weights(
    path: Path, overrides: Mapping[str, int]
) -> tuple[VimaNetwork, dict[str, Any], str]:
    """Load the network of NAME.safetensors on the CPU in eval mode, its card and the sha256.

    The card is as stored, with ``describe`` where it lacks that. ``overrides``: as of
    ``load_checkpoint``, though this file has every size. Raises VimaError (BAD_CHECKPOINT)
    naming the key or the reason, (BAD_CONFIG) for an override that is unknown or that the file
    contradicts.
    """
    _check_suffix(path)
    document = _read_document(path.with_suffix(".json"))
    state = _read_tensors(path, document["sha256"])
    config = infer_config(state, document["config"], overrides, complete=True)
    network = build_empty(config)
    _check(state, network)
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval(), _full_card(document["card"], network), document["sha256"]


def _check_suffix(path: Path) -> None:
    if path.suffix != SUFFIX:
        raise invalid_checkpoint(f"{path.name} does not end in {SUFFIX}")


def _check(state: Mapping[str, Tensor], network: VimaNetwork) -> None:
    check_tensors(state, network.state_dict())
    check_finite(state)


def _full_card(card: Mapping[str, Any], network: VimaNetwork) -> dict[str, Any]:
    facts = describe(network)
    full = facts | dict(card)
    for name in ("parameters", "controller_parameters"):
        if full[name] != facts[name]:
            raise invalid_checkpoint(
                f"the card has other {name} than the tensors, which have {facts[name]}"
            )
    if "tokenizer" in full:
        stated = full["tokenizer"]
        if not isinstance(stated, dict) or {k: type(v) for k, v in stated.items()} != TOKENIZER:
            raise invalid_checkpoint(f"the card's tokenizer is {stated!r}, not sha256 and words")
    if full.get("pick", BY_BINS) not in PICKS:
        raise invalid_checkpoint(f"the card's pick is {full['pick']!r}, not {' or '.join(PICKS)}")
    if not isinstance(full["name"], str):
        raise invalid_checkpoint(f"the card's name is a {type(full['name']).__name__}, not a text")
    return full


def _to_text(document: Any) -> bytes:
    """Serialize to JSON; raise ValueError for anything else, such as NaN and lone surrogates."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _checked_text(document: Mapping[str, Any]) -> bytes:
    try:
        text = _to_text(document)
    except (TypeError, ValueError, RecursionError) as error:
        raise VimaError("BAD_CARD", f"card: {error}; valid: JSON") from error
    if len(text) > MAX_TEXT:
        raise VimaError("BAD_CARD", f"card: {len(text)} bytes in all; valid: up to {MAX_TEXT}")
    return text


def _read_document(path: Path) -> dict[str, Any]:
    check_kind(path, JSON)
    if path.stat().st_size > MAX_TEXT:
        raise invalid_checkpoint(f"{path.name} has more than {MAX_TEXT} bytes")
    try:
        document = json.loads(path.read_bytes())
        _to_text(document)  # it must be possible to write and show it
    except (OSError, ValueError, RecursionError) as error:
        raise invalid_checkpoint(
            f"{path.name} cannot be read as JSON: {str(error)[:200]}"
        ) from error
    if not isinstance(document, dict) or set(document) != set(PARTS):
        got = sorted(document) if isinstance(document, dict) else type(document).__name__
        raise invalid_checkpoint(f"{path.name} holds {got} where {', '.join(PARTS)} were expected")
    for name, kind in PARTS.items():
        if not isinstance(document[name], kind):
            raise invalid_checkpoint(f"{path.name}: {name} is a {type(document[name]).__name__}")
    if document["format"] != FORMAT:
        raise invalid_checkpoint(
            f"{path.name}: format is {document['format']!r}, this version reads {FORMAT!r}"
        )
    return document


def _read_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    check_kind(path, SAFETENSORS)
    try:
        # Read, not mapped: the pages of a mapped file stay in memory while its weights are packed.
        # Hashed when open: should another file take its place, it is not that one that is read.
        with safe_open(path, framework="pt", backend="pread") as file:
            got = sha256_of(path)
            names = file.keys() if got == sha256 else []
            state = {name: file.get_tensor(name) for name in names}
    except Exception as error:  # a hostile file can fail in any way
        raise unreadable(path, error) from error
    if got != sha256:
        raise invalid_checkpoint(f"{path.name} has sha256 {got}, its JSON has {sha256}")
    return without_wrappers(path, state)
