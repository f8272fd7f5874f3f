"""The VIMA policy: actions from a prompt and observations.

Reading order: ``config``, ``inputs``; ``model/`` with ``conditioning/`` (how the four kinds of
policy differ), ``batching`` (values to tensors), ``attention``, ``object_encoder`` and
``image_encoder``, ``controller`` with ``cross_attention`` or ``prefix``, ``latents`` and
``network`` (the plain forward pass); ``kv_cache``, ``action_selection``, ``policy`` (one step at a
time); ``quantization``; ``checkpoints/``, ``sizes``.

Importing this package loads neither torch nor transformers; ``load_policy`` does when it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

BUNDLED = Path(__file__).parent / "weights" / "policy.safetensors"  # docs/policy.md


def __getattr__(name: str) -> Any:
    if name == "load_policy":
        from vima_ros.policy.checkpoints.load import load_policy

        return load_policy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
