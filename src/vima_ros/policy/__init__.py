"""The VIMA policy: prompt and observations in, actions out.

To read in this order: ``config``, ``batches`` (values to tensors); ``attention``, ``objects``,
``controller``, ``network`` (the model, and its plain forward pass); ``history``, ``decision``,
``engine`` (one step at a time); ``precision``; then files: ``checks``, ``checkpoint``,
``weights``, ``loading``. Beside them ``tokenizer``, ``episode`` (when to decide), ``benchmark``.

Importing this package loads neither torch nor transformers; ``load_policy`` does when it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parent / "weights" / "policy.safetensors"  # docs/POLICY.md


def __getattr__(name: str) -> Any:
    if name == "load_policy":
        from vima_ros.policy.checkpoints.load import load_policy

        return load_policy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
