"""Loading of a policy from a checkpoint file, or with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from vima_ros.errors import VimaError
from vima_ros.files import sha256_of
from vima_ros.paths import expand
from vima_ros.policy import BUNDLED, bundled_weights
from vima_ros.policy.action_selection import BY_BINS, PICKS
from vima_ros.policy.checkpoints.published import load_checkpoint
from vima_ros.policy.checkpoints.safetensors import SUFFIX, describe, load_weights
from vima_ros.policy.checkpoints.validation import build_empty
from vima_ros.policy.config import CONDITIONINGS, VimaConfig
from vima_ros.policy.model.network import VimaNetwork, init_weights
from vima_ros.policy.policy import Policy
from vima_ros.policy.quantization import check_dtype, prepare
from vima_ros.policy.tokenizer import T5, TokenizerIdentity, bundled_tokenizer

# Of the policy with random weights: every part is there, and it is fast.
SMALL: dict[str, Any] = {
    "embed_dim": 64,
    "xf_n_layers": 2,
    "sattn_n_heads": 4,
    "xattn_n_heads": 4,
    "vit_width": 48,
    "vit_layers": 2,
    "vit_heads": 4,
    "vit_output": 48,
    "box_width": 48,
    "action_hidden": 32,
    "action_width": 32,
    "decoder_hidden": 64,
    "prompt_object_hidden": 48,
    "t5_width": 48,
    "t5_layers": 2,
    "t5_heads": 4,
    "t5_head_width": 12,
    "t5_feed_forward": 96,
}


RANDOM = "random"  # in place of a file


def load_policy(
    checkpoint: Path | str | None = None,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    config: Mapping[str, Any] | None = None,
    threads: int = 0,
    pick: str = "",
) -> Policy:
    """Load the policy of a file in either form (``load_network``), by default the bundled one.

    ``RANDOM`` in place of a file: a small one with random weights, always the same ones. The
    policy decides; what trains is a network of ``load_network`` or ``random_network``. The name of
    a conditioning: its bundled weights.

    ``config``: fields of VimaConfig. For a file, only those it does not have (``vit_heads``,
    ``t5_max_distance``); for ``RANDOM``, any. ``threads``: of the processor that PyTorch uses in
    this whole process from now on; 0: as it was. ``pick``: how picks are chosen, one of PICKS
    (action_selection.py); empty: as the card states, or by the bins where it states nothing.

    Raises VimaError: BAD_CHECKPOINT, BAD_CONFIG (also for a pick that the policy cannot make),
    BAD_DTYPE, BAD_DEVICE, NO_WEIGHTS.
    """
    place = _checked_device(device)
    check_dtype(dtype, place)
    if threads:
        torch.set_num_threads(threads)
    overrides = dict(config or {})
    trained = checkpoint != RANDOM
    if not trained:
        bundled = bundled_tokenizer()
        network = random_network({"vocabulary": bundled.words, **overrides})
        card = {**describe(network), "tokenizer": asdict(bundled)}
        origin: dict[str, Any] = {"checkpoint": None, "sha256": None, "card": card}
    else:
        named = str(checkpoint) in CONDITIONINGS
        path = bundled_weights(str(checkpoint)) if named else expand(checkpoint or BUNDLED)
        network, origin = load_network(path, overrides)
    chosen = _checked_pick(pick or origin["card"].get("pick", BY_BINS), network)
    description = {
        "parameters": origin["card"]["parameters"],
        "trained": trained,
        **origin,
        "dtype": dtype,
        "kernels": prepare(network, place, dtype),
        "config": asdict(network.config),
        "pick": chosen,
    }
    return Policy(
        network,
        trained=trained,
        description=description,
        tokenizer=TokenizerIdentity(**origin["card"]["tokenizer"]),
        pick=chosen,
    )


def load_network(path: Path, overrides: Mapping[str, int]) -> tuple[VimaNetwork, dict[str, Any]]:
    """Load a file's network on the CPU, in eval mode, trainable; return it with its origin.

    ``path``: NAME.safetensors with its NAME.json (safetensors.py), or with any other suffix a
    published checkpoint (published.py). ``overrides``: as of ``load_checkpoint``. The origin has
    ``checkpoint`` (the file's name), ``sha256`` and ``card``, with the tokenizer in any case.

    Raises VimaError: BAD_CHECKPOINT, BAD_CONFIG.
    """
    if path.suffix == SUFFIX:
        network, card, sha256 = load_weights(path, overrides)
    else:
        network, sha256 = load_checkpoint(path, overrides), sha256_of(path)
        card = {**describe(network), "source": None}
    if "tokenizer" not in card:
        published = path.suffix != SUFFIX or card["source"] is not None
        card["tokenizer"] = asdict(_unstated_tokenizer(network, published))
    return network, {"checkpoint": path.name, "sha256": sha256, "card": card}


def _unstated_tokenizer(network: VimaNetwork, published: bool) -> TokenizerIdentity:
    """Return the tokenizer of weights whose file states none.

    A published checkpoint has no place for it, and was trained with T5's, unless it has a row for
    each word of the bundled one: then `convert_checkpoint` wrote it. Before cards stated it,
    `train_policy` had the bundled one alone.
    """
    bundled = bundled_tokenizer()
    return T5 if published and network.config.vocabulary != bundled.words else bundled


def _checked_pick(pick: str, network: VimaNetwork) -> str:
    valid = PICKS if network.inputs.observation == "objects" else (BY_BINS,)
    if pick not in valid:
        reason = "" if pick not in PICKS else ", and this policy reads whole images, no objects"
        raise VimaError("BAD_CONFIG", f"pick is {pick!r}{reason}; valid: {', '.join(valid)}")
    return pick


def _checked_device(device: str) -> torch.device:
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
        if place.type not in ("cpu", "cuda"):
            raise RuntimeError("not a kind this policy is tested on")
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0]
        raise VimaError("BAD_DEVICE", f"{device!r}: {reason}; valid: 'cpu', 'cuda'") from error
    return place


def random_network(overrides: Mapping[str, Any]) -> VimaNetwork:
    """Build the network of ``load_policy(RANDOM)``, trainable, with other sizes where given.

    Raises VimaError (BAD_CONFIG).
    """
    try:
        config = VimaConfig(**(SMALL | dict(overrides)))
    except TypeError as error:
        raise VimaError(
            "BAD_CONFIG", f"config: {error}; valid: {', '.join(asdict(VimaConfig()))}"
        ) from error
    network = build_empty(config)
    network.to_empty(device="cpu")
    init_weights(network, seed=0)
    return network.eval()
