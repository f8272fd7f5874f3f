"""The VIMA policy: actions from a prompt and observations.

Reading order: ``config``, ``inputs``; ``model/`` with ``conditioning/`` (how the four kinds of
policy differ), ``batching`` (values to tensors), ``attention``, ``object_encoder`` and
``image_encoder``, ``controller`` with ``cross_attention`` or ``prefix``, ``latents`` and
``network`` (the plain forward pass); ``kv_cache``, ``picked_object``, ``action_selection``,
``policy`` (one step at a time); ``quantization``; ``checkpoints/``, ``sizes``.

Importing this package loads neither torch nor transformers; ``load_policy`` does when it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vima_ros.errors import VimaError
from vima_ros.policy.config import CONDITIONINGS

WEIGHTS = Path(__file__).parent / "weights"
BUNDLED = WEIGHTS / "policy.safetensors"  # docs/policy.md


def bundled_weights(conditioning: str) -> Path:
    """Return the file of the bundled weights of a conditioning. Raises VimaError (NO_WEIGHTS)."""
    files = {name: WEIGHTS / f"{name}.safetensors" for name in CONDITIONINGS} | {"vima": BUNDLED}
    if not files[conditioning].is_file():
        present = ", ".join(name for name, file in files.items() if file.is_file())
        raise VimaError(
            "NO_WEIGHTS",
            f"no trained weights of {conditioning} are bundled ({files[conditioning]} is absent); "
            f"valid: {present}, or a file of your own, as `train_policy --config {conditioning}` "
            "makes one",
        )
    return files[conditioning]


def __getattr__(name: str) -> Any:
    if name == "load_policy":
        from vima_ros.policy.checkpoints.load import load_policy

        return load_policy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
