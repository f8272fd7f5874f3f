"""What the backends on torch share: the device, checkpoints read safely, and the network's run."""

from __future__ import annotations

import io
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import nms

from vima_ros.errors import VimaError
from vima_ros.perception.detectors.assemble import instances_of
from vima_ros.perception.detectors.instances import Instances, naming
from vima_ros.perception.detectors.model_files import WeightsFile, bad_weights, first_line

SAME_OBJECT = 0.5  # intersection over union of boxes, as Mask R-CNN has it within a class


def checked_device(device: str) -> torch.device:
    """Raises VimaError (BAD_DEVICE)."""
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
    """What ``torch.save`` wrote, as long as loading it runs no code: tensors and plain values.

    ``holders``: full names of classes that may be named where they only hold values; each comes as
    an OrderedDict, and the class itself is never touched. Raises VimaError (BAD_WEIGHTS).
    """
    allowed: list[Any] = [(OrderedDict, name) for name in holders]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(io.BytesIO(file.data), map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file can fail in any way
        named = re.search(r"GLOBAL (\S+)", str(error))
        why = f"it holds a {named[1]}, not only tensors and values" if named else first_line(error)
        raise bad_weights(file.name, why, valid) from error


def load_state(model: nn.Module, state: Any, name: str, valid: str) -> None:
    """Fill ``model`` with ``state``; every name and shape must fit and every number be finite.

    Raises VimaError (BAD_WEIGHTS).
    """
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise bad_weights(name, "its model is no dict of tensors", valid)
    if not all(bool(value.isfinite().all()) for value in state.values()):
        raise bad_weights(name, "some of its weights are not finite", valid)
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:4]]
        raise bad_weights(name, " ".join(lines)[:400], valid) from error
    model.eval()


def assemble_views(
    found: Mapping[str, tuple[Tensor, Tensor, Tensor]], min_score: float
) -> dict[str, Instances]:
    """Boxes (n, 4), scores (n,), masks (n, M, M) by view to instances, whatever their classes.

    Of boxes in the same place, as two classes may give for one object, the surest stays.
    """
    instances = {}
    for view, (boxes, scores, masks) in found.items():
        kept = nms(boxes, scores, SAME_OBJECT)
        arrays: list[np.ndarray] = [a[kept].cpu().numpy() for a in (boxes, scores, masks)]
        with naming(view):
            instances[view] = instances_of(*arrays, min_score=min_score)
    return instances
