"""Detector with Mask R-CNN in PyTorch: the compact network, or torchvision's, fine-tuned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from vima_ros.errors import DetectionError, VimaError
from vima_ros.files import first_line
from vima_ros.perception.detectors.base import DEFAULT_SETTINGS, Detector, DetectorSettings
from vima_ros.perception.detectors.instances import FRAME_SHAPE, Instances
from vima_ros.perception.detectors.model_files import (
    WeightsFile,
    bad_weights,
    read_card,
    read_weights,
)
from vima_ros.weight_files import SAFETENSORS, TORCH

MIN_SCORE = 0.5  # where no card names one
TORCH_REQUIREMENT = "torch==2.12.1 torchvision==0.27.1"  # as in requirements/torchvision.txt
EXPECTED_CONTENT = (
    "our Mask R-CNN as .safetensors, or a state dict of torchvision's maskrcnn_resnet50_fpn "
    "as .pth, alone or as `model` of a dict"
)
DATA_CLASSES = ("argparse.Namespace",)  # torchvision's own training script saves its options
SIZES = {"min_size": 800, "max_size": 1333}  # [px] torchvision's; a dict's entries override them
MAX_SIZE = 2000  # [px]
MAX_CLASSES = 1000


class TorchvisionDetector(Detector):
    """Mask R-CNN in PyTorch, both views in one batch; every class is an object.

    The constructor raises VimaError: NOT_INSTALLED, NO_WEIGHTS, BAD_WEIGHTS, BAD_DEVICE.
    ``detect`` also raises BAD_DETECTION for a network's nonsense.
    """

    has_weights = True

    def __init__(self, settings: DetectorSettings = DEFAULT_SETTINGS) -> None:
        super().__init__(settings)
        self._torch = torch = _torch()
        from vima_ros.perception.detectors import torch_common

        self._common = torch_common
        self._device = torch_common.checked_device(settings.device)
        self._file = read_weights(settings.weights, None, EXPECTED_CONTENT, (TORCH, SAFETENSORS))
        torch.set_num_threads(settings.threads)
        if self._file.kind == SAFETENSORS:
            self._kind, self.run, model, self._card = _load_compact(self._file)
        else:
            self._kind, self.run, model, self._card = _load_torchvision(self._file)
        self.model = model.to(self._device)
        own = float(self._card.get("min_score", MIN_SCORE))
        self.min_score = own if settings.min_score is None else settings.min_score

    def describe(self) -> dict[str, Any]:
        """Describe backend, network, file, device, threads, minimum score and the file's card."""
        return {
            "backend": "torchvision",
            "network": self._kind,
            **self._file.describe(),
            "device": str(self._device),
            "threads": self.settings.threads,
            "min_score": self.min_score,
            "card": self._card,
        }

    def _find(self, image_rgb: np.ndarray, view: str, mask: np.ndarray | None) -> Instances:
        return self._find_views({view: image_rgb}, {view: mask})[view]

    def _find_views(
        self, images_rgb: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray | None]
    ) -> dict[str, Instances]:
        torch = self._torch
        frames = torch.from_numpy(np.stack(list(images_rgb.values()))).to(self._device)
        try:
            with torch.inference_mode():
                found = self.run(self.model, frames)
        except RuntimeError as error:  # such as too little memory
            raise DetectionError(
                "BAD_DETECTION", f"{self._file.name}: {first_line(error)}"
            ) from error
        values = [(one["boxes"], one["scores"], one["masks"][:, 0]) for one in found]
        by_view = dict(zip(images_rgb, values, strict=True))
        instances: dict[str, Instances] = self._common.assemble_views(by_view, self.min_score)
        return instances


def _torch() -> Any:
    """Import torch, with a torchvision that works with it."""
    here = "no torch"
    try:
        import torch

        here = f"torch {torch.__version__}"
        import torchvision.ops  # noqa: F401
    except (ImportError, RuntimeError, OSError, AttributeError) as error:  # absent, or no pair
        raise VimaError(
            "NOT_INSTALLED",
            f"detector torchvision needs torchvision and the very torch it was built for "
            f"({here} here: {first_line(error)}): pip install {TORCH_REQUIREMENT}, in an "
            "environment of its own; in a clone `./vima --train perception` has one",
        ) from error
    return torch


def _load_compact(file: WeightsFile) -> tuple[str, Any, Any, dict[str, Any]]:
    """Load the compact network: name, function from (model, frames) to detections, model, card."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    from vima_ros.perception.detectors.mask_rcnn import MaskRcnn
    from vima_ros.perception.detectors.torch_common import load_state, plain_state

    try:
        state = load(file.data)
        length = int.from_bytes(file.data[:8], "little")  # the format's own, checked by ``load``
        metadata = json.loads(file.data[8 : 8 + length]).get("__metadata__", {})
    except (SafetensorError, ValueError) as error:
        raise bad_weights(file.name, first_line(error), EXPECTED_CONTENT) from error
    model = MaskRcnn()
    load_state(model, plain_state(state, file, EXPECTED_CONTENT), file.name, EXPECTED_CONTENT)
    return "ours", lambda model, frames: model(frames)[0], model, read_card(file.name, metadata)


def _load_torchvision(file: WeightsFile) -> tuple[str, Any, Any, dict[str, Any]]:
    """Load maskrcnn_resnet50_fpn with as many classes as the file has; returns the same."""
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.ops.misc import FrozenBatchNorm2d

    from vima_ros.perception.detectors.torch_common import load_state, plain_state, read_checkpoint

    content = read_checkpoint(file, DATA_CLASSES, EXPECTED_CONTENT)
    state, sizes = content, dict(SIZES)
    if isinstance(content, dict) and "model" in content:
        state = content["model"]
        sizes |= {name: content[name] for name in SIZES if name in content}
    if not all(type(size) is int and 32 <= size <= MAX_SIZE for size in sizes.values()):
        raise bad_weights(file.name, f"sizes {sizes}", f"32 to {MAX_SIZE} px")
    try:
        state = plain_state(state, file, EXPECTED_CONTENT)
        classes = len(state["roi_heads.box_predictor.cls_score.bias"])
    except (KeyError, TypeError) as error:  # the latter for a tensor without axes
        raise bad_weights(
            file.name, "no state dict with a box predictor", EXPECTED_CONTENT
        ) from error
    if not 2 <= classes <= MAX_CLASSES:
        raise bad_weights(file.name, f"{classes} classes", f"2 to {MAX_CLASSES}, with background")
    # Its batch norms are never trained further, so that they are frozen ones, whichever it had.
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d
    )
    model = MaskRCNN(backbone, classes, **sizes)
    load_state(model, state, file.name, EXPECTED_CONTENT)
    return f"maskrcnn_resnet50_fpn, {classes - 1} classes", _run_torchvision, model, {}


def _run_torchvision(model: Any, frames: Any) -> list[dict[str, Any]]:
    """Return detections with masks inside boxes, which the model's own call would paste."""
    images = list(frames.permute(0, 3, 1, 2).float() / 255)  # B of (3, 128, 256)
    batch, _ = model.transform(images)
    features = model.backbone(batch.tensors)
    proposals, _ = model.rpn(batch, features)
    found, _ = model.roi_heads(features, proposals, batch.image_sizes)
    height, width = FRAME_SHAPE
    for one, (rows, columns) in zip(found, batch.image_sizes, strict=True):
        scale = one["boxes"].new_tensor([width / columns, height / rows] * 2)
        one["boxes"] = one["boxes"] * scale
    return found
