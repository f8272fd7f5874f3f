"""Common parts of the torch backends: device, safe reading of checkpoints, weights."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import nms

from vima_ros.errors import VimaError, add_view_to_errors
from vima_ros.files import first_line
from vima_ros.perception.detectors.instances import Instances
from vima_ros.perception.detectors.model_files import WeightsFile, bad_weights
from vima_ros.perception.detectors.postprocess import paste_masks
from vima_ros.state_dict_names import log_stripped, strip_wrappers
from vima_ros.weight_files import why_not_loaded

NMS_IOU = 0.5  # intersection over union of boxes, as Mask R-CNN has it within a class


def checked_device(device: str) -> torch.device:
    """Return the torch device. Raises VimaError (BAD_DEVICE)."""
    try:
        place = torch.device(device)
        if place.type not in ("cpu", "cuda"):
            raise RuntimeError("not a kind that the detectors are made for")
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        reason = f"{device!r}: {first_line(error)}"
        raise VimaError("BAD_DEVICE", f"{reason}; valid: 'cpu', 'cuda'") from error
    return place


def read_checkpoint(file: WeightsFile, holders: Iterable[str], valid: str) -> Any:
    """Read a file of ``torch.save`` without running code: tensors and plain values.

    ``holders``: full names of classes that may be named where they only hold values; each comes as
    an OrderedDict, and the class itself is never touched. Raises VimaError (BAD_WEIGHTS).
    """
    allowed: list[Any] = [(OrderedDict, name) for name in holders]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(io.BytesIO(file.data), map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file can fail in any way
        raise bad_weights(file.name, why_not_loaded(file.data, error), valid) from error


def plain_state(state: Any, file: WeightsFile, valid: str) -> dict[str, Tensor]:
    """Return a state dict without prefixes of DataParallel or torch.compile.

    Raises VimaError (BAD_WEIGHTS) for what is no dict of tensors, or where two names are the same
    without it.
    """
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise bad_weights(file.name, "its model is no dict of tensors", valid)
    names = strip_wrappers(state)
    if len(set(names.values())) < len(names):
        raise bad_weights(file.name, "two names are the same once their prefixes are gone", valid)
    log_stripped(file.name, names)
    return {names[name]: tensor for name, tensor in state.items()}


def load_state(model: nn.Module, state: Mapping[str, Tensor], name: str, valid: str) -> None:
    """Load ``state`` into ``model``; names and shapes must match, numbers be finite.

    Raises VimaError (BAD_WEIGHTS).
    """
    if not all(bool(value.isfinite().all()) for value in state.values()):
        raise bad_weights(name, "some of its weights are not finite", valid)
    own = model.state_dict()
    wrong = [
        f"{key} is {tuple(state[key].shape)}, not {tuple(tensor.shape)}"
        for key, tensor in own.items()
        if key in state and state[key].shape != tensor.shape
    ]
    if not wrong:
        keys = model.load_state_dict(state, strict=False)
        wrong = [f"{key} is missing" for key in keys.missing_keys]
        wrong += [f"{key} is not the network's" for key in keys.unexpected_keys]
    if wrong:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        raise bad_weights(name, "; ".join(wrong[:3]) + more, valid)
    model.eval()


def assemble_views(
    found: Mapping[str, tuple[Tensor, Tensor, Tensor]], min_score: float
) -> dict[str, Instances]:
    """Convert boxes (n, 4), scores (n,), masks (n, M, M) by view to instances of one class.

    Of boxes in the same place, as two classes may give for one object, the one with the highest
    score stays.
    """
    instances = {}
    for view, (boxes, scores, masks) in found.items():
        kept = nms(boxes, scores, NMS_IOU)
        arrays: list[np.ndarray] = [a[kept].cpu().numpy() for a in (boxes, scores, masks)]
        with add_view_to_errors(view):
            instances[view] = paste_masks(*arrays, min_score=min_score)
    return instances
