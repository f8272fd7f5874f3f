"""Detector with Mask R-CNN in Detectron2: VIMA's published one, or your own.

The file is what ``torch.save`` makes of a dict: ``model``, a state dict, and ``cfg``, which
updates Detectron2's ``get_cfg()``. It is read without running code that it may hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import yaml

from vima_ros.errors import DetectionError, VimaError
from vima_ros.files import first_line
from vima_ros.perception.detectors.base import DEFAULT_SETTINGS, Detector, DetectorSettings
from vima_ros.perception.detectors.instances import FRAME_SHAPE, Instances
from vima_ros.perception.detectors.model_files import (
    WeightsFile,
    bad_weights,
    read_weights,
)
from vima_ros.perception.detectors.postprocess import LOW_SCORE_FACTOR
from vima_ros.weight_files import TORCH

MIN_SCORE = 0.95  # as VIMA's published detector is used
EXPECTED_CONTENT = (
    "Detectron2's Mask R-CNN as VIMA publishes it (mask_rcnn.pth), a dict of model and cfg"
)
DETECTRON2_SOURCE = "git+https://github.com/facebookresearch/detectron2.git"
# Older versions saved these with the weights; now they come from the cfg.
KEYS_FROM_CFG = ("pixel_mean", "pixel_std", "proposal_generator.anchor_generator.cell_anchors.")

# The classes that a saved cfg is made of: nested dicts, which read_checkpoint makes of them.
DATA_CLASSES = (
    "detectron2.config.config.CfgNode",
    "fvcore.common.config.CfgNode",
    "yacs.config.CfgNode",
)
MAX_ENTRIES = 10_000  # Detectron2's own configuration has about 400
MAX_DEPTH = 20
MAX_SIZE = 2000  # [px] to which an image may be scaled


class Detectron2Detector(Detector):
    """Mask R-CNN in Detectron2, both views in one batch; every class is an object.

    Channel order and scale are the cfg's. The constructor raises VimaError: NOT_INSTALLED,
    NO_WEIGHTS, BAD_WEIGHTS, BAD_DEVICE. ``detect`` also raises BAD_DETECTION for a network's
    nonsense.
    """

    has_weights = True

    def __init__(self, settings: DetectorSettings = DEFAULT_SETTINGS) -> None:
        super().__init__(settings)
        self._torch = torch = _torch()
        from vima_ros.perception.detectors import torch_common

        self._common = torch_common
        device = torch_common.checked_device(settings.device)
        self.min_score = MIN_SCORE if settings.min_score is None else settings.min_score
        self._file = read_weights(settings.weights, None, EXPECTED_CONTENT, (TORCH,))
        torch.set_num_threads(settings.threads)
        self._predictor, self._architecture = _predictor(self._file, str(device), self.min_score)

    def describe(self) -> dict[str, Any]:
        """Describe backend, file, cfg, device, threads and minimum score."""
        cfg = self._predictor.cfg
        return {
            "backend": "detectron2",
            **self._file.describe(),
            "architecture": self._architecture,
            "classes": cfg.MODEL.ROI_HEADS.NUM_CLASSES,
            "channels": cfg.INPUT.FORMAT,
            "size": f"shorter side {cfg.INPUT.MIN_SIZE_TEST} px",
            "device": cfg.MODEL.DEVICE,
            "threads": self.settings.threads,
            "min_score": self.min_score,
        }

    def _find(self, image_rgb: np.ndarray, view: str, mask: np.ndarray | None) -> Instances:
        return self._find_views({view: image_rgb}, {view: mask})[view]

    def _find_views(
        self, images_rgb: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray | None]
    ) -> dict[str, Instances]:
        inputs = [self._input(image) for image in images_rgb.values()]
        try:
            with self._torch.inference_mode():
                # Masks inside their boxes; the predictor's own call would cut them to yes and no.
                found = self._predictor.model.inference(inputs, do_postprocess=False)
        except RuntimeError as error:  # such as too little memory
            raise DetectionError(
                "BAD_DETECTION", f"{self._file.name}: {first_line(error)}"
            ) from error
        by_view = {
            view: (_frame_boxes(one), one.scores, one.pred_masks[:, 0])
            for view, one in zip(images_rgb, found, strict=True)
        }
        instances: dict[str, Instances] = self._common.assemble_views(by_view, self.min_score)
        return instances

    def _input(self, image_rgb: np.ndarray) -> dict[str, Any]:
        """Prepare an image as DefaultPredictor's own call does."""
        image = image_rgb[..., ::-1] if self._predictor.input_format == "BGR" else image_rgb
        image = self._predictor.aug.get_transform(image).apply_image(np.ascontiguousarray(image))
        values = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)
        return {"image": self._torch.from_numpy(values)}


def _torch() -> Any:
    """Import torch, with a detectron2 that works with it."""
    try:
        import detectron2.engine
        import detectron2.layers  # noqa: F401  # its compiled part
        import torch
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        raise VimaError(
            "NOT_INSTALLED",
            f"detector detectron2 needs Detectron2 ({first_line(error)}): install a torch and the "
            "torchvision built for it, then pip install --no-build-isolation "
            f"'{DETECTRON2_SOURCE}', which compiles it; detectors without it: "
            "onnx, plain_background, ground_truth_masks",
        ) from error
    return torch


def _predictor(file: WeightsFile, device: str, min_score: float) -> tuple[Any, str]:
    """Make Detectron2's DefaultPredictor of a checkpoint, with its architecture's name."""
    from detectron2.engine import DefaultPredictor

    from vima_ros.perception.detectors.torch_common import load_state, plain_state, read_checkpoint

    content = read_checkpoint(file, DATA_CLASSES, EXPECTED_CONTENT)
    if not isinstance(content, dict) or not {"model", "cfg"} <= set(content):
        got = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise bad_weights(file.name, f"it holds {got}"[:200], EXPECTED_CONTENT)
    try:
        own = plain_config(content["cfg"])
        cfg = complete_config(own, device, LOW_SCORE_FACTOR * min_score)
        named = str(cfg.MODEL.META_ARCHITECTURE)
        named = str(own.get("MODEL", {}).get("META_ARCHITECTURE", named))
        predictor = DefaultPredictor(cfg)
    except Exception as error:  # a cfg can fail in any way when it is built
        raise bad_weights(file.name, first_line(error), EXPECTED_CONTENT) from error
    load_state(
        predictor.model,
        _current(plain_state(content["model"], file, EXPECTED_CONTENT)),
        file.name,
        EXPECTED_CONTENT,
    )
    return predictor, named


def _current(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state dict without entries that the cfg defines."""
    return {name: value for name, value in state.items() if not name.startswith(KEYS_FROM_CFG)}


def _frame_boxes(found: Any) -> Any:
    """Scale boxes (n, 4) from the network's input to the policy frame [px]."""
    rows, columns = found.image_size
    height, width = FRAME_SHAPE
    boxes = found.pred_boxes.tensor
    return boxes * boxes.new_tensor([width / columns, height / rows] * 2)


def plain_config(entry: Any) -> dict[str, Any]:
    """Convert ``entry``, nested dicts or their YAML text, to new dicts and plain values.

    Raises ValueError saying what else is in it.
    """
    if isinstance(entry, str):
        try:
            entry = yaml.safe_load(entry)
        except (yaml.YAMLError, RecursionError) as error:
            raise ValueError("its cfg is a text but no YAML") from error
    if not isinstance(entry, dict):
        raise ValueError(f"its cfg is {type(entry).__name__}, not a dict or the YAML text of one")
    copy: dict[str, Any] = _plain(entry, [MAX_ENTRIES], 0)
    return copy


def _plain(value: Any, left: list[int], depth: int) -> Any:
    left[0] -= 1
    if left[0] < 0 or depth > MAX_DEPTH:
        raise ValueError(f"its cfg has over {MAX_ENTRIES} entries or {MAX_DEPTH} levels")
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("its cfg has keys that are no texts")
        return {key: _plain(item, left, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(item, left, depth + 1) for item in value)
    if value is None or type(value) in (str, int, float, bool):
        return value
    raise ValueError(f"its cfg holds a {type(value).__name__}")


def complete_config(own: dict[str, Any], device: str, lowest_score: float) -> Any:
    """Update Detectron2's ``get_cfg()`` by ``own``, for its DefaultPredictor.

    Its weights and data sets are left out, as they would be loaded from anywhere. The
    network is GeneralizedRCNN, whatever name it has. Raises ValueError.
    """
    from detectron2.config import get_cfg

    cfg = get_cfg()
    _update(cfg, own)
    cfg.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
    cfg.MODEL.WEIGHTS, cfg.DATASETS.TEST, cfg.MODEL.DEVICE = "", (), device
    heads = cfg.MODEL.ROI_HEADS
    heads.SCORE_THRESH_TEST = max(float(heads.SCORE_THRESH_TEST), lowest_score)
    if not cfg.MODEL.MASK_ON:
        raise ValueError("its cfg has MODEL.MASK_ON False, but boxes alone make no objects")
    if cfg.INPUT.FORMAT not in ("BGR", "RGB"):
        raise ValueError(f"its cfg has INPUT.FORMAT {cfg.INPUT.FORMAT!r}, not 'BGR' or 'RGB'")
    for name in ("MIN_SIZE_TEST", "MAX_SIZE_TEST"):
        size = cfg.INPUT[name]
        if type(size) is not int or not 0 <= size <= MAX_SIZE:
            raise ValueError(f"its cfg has INPUT.{name} {size!r}, not 0 to {MAX_SIZE} px")
    return cfg


def _update(node: Any, values: dict[str, Any]) -> None:
    """Set ``values`` recursively; keys unknown to this Detectron2 are kept as well."""
    for key, value in values.items():
        known = node.get(key)
        if isinstance(value, dict) and isinstance(known, dict):
            _update(known, value)
        elif isinstance(known, dict):
            raise ValueError(f"its cfg has {key} as {type(value).__name__}, not as a section")
        else:
            node[key] = type(node)(value) if isinstance(value, dict) else value
