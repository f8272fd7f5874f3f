"""Training from the weights of an exported detector, for example for another table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from vima_ros.errors import VimaError
from vima_ros.perception.detectors.mask_rcnn import MaskRcnn
from vima_ros.training.loaded_weights import LoadedWeights
from vima_ros.weight_files import ONNX, file_kind, why_not_loaded

FOLDED = "onnx::"  # so begin the names of weights that a batch normalization was folded into
NEW_LAYER_NOISE = 0.1  # share of its random start that a layer which the file lacks keeps


def start_from(model: MaskRcnn, path: Path, frames: Tensor) -> LoadedWeights:
    """Load the weights of the detector in ``path``, an ONNX file of export_detector.

    The export folds each batch normalization into the convolution before it. Both are taken apart
    again by what ``frames``, uint8 RGB (B, 128, 256, 3), lead to there: the network computes what
    it did, and is normalized as one in training has to be. Convolutions that only ``model`` has
    (of its mask head) begin as ones that change next to nothing.

    Returns which weights were taken. Raises VimaError (BAD_CHECKPOINT) for a file of other shapes.
    """
    try:
        if file_kind(path).name != ONNX:
            raise ValueError(path)
        graph = onnx.load(path).graph
    except Exception as error:  # onnx and protobuf raise as they please
        raise VimaError(
            "BAD_CHECKPOINT", f"{path}: {why_not_loaded(path, error)}; valid: a detector.onnx"
        ) from error
    weights = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    folded = [n.input[1:3] for n in graph.node if n.op_type == "Conv" and FOLDED in n.input[1]]
    pairs = list(_normalized(model))
    if len(pairs) != len(folded):
        raise VimaError("BAD_CHECKPOINT", f"{path}: {len(folded)} layers; valid: {len(pairs)}")
    with torch.no_grad():
        for (conv, norm), (weight, bias) in zip(pairs, folded, strict=True):
            _copy(conv.weight, weights[weight], path, weight)
            norm.reset_running_stats()
            norm.weight.fill_(1.0)
            _copy(norm.bias, weights[bias], path, bias)
        anew: dict[str, str] = {}
        own = {id(p) for pair in pairs for layer in pair for p in layer.parameters()}
        taken = {n.removeprefix("model."): w for n, w in weights.items() if "model." in n}
        for name, parameter in model.named_parameters():
            if name in taken:
                _copy(parameter, taken[name], path, name)
            elif ".mask_head." in name and parameter.ndim == 4:
                anew[name] = "not in the file, begins as a layer that changes next to nothing"
                random = NEW_LAYER_NOISE * parameter.clone()
                parameter.copy_(nn.init.dirac_(parameter) + random)
            elif ".mask_head." in name:
                anew[name] = "not in the file, begins at 0"
                parameter.zero_()
            elif id(parameter) not in own:
                anew[name] = "not in the file, begins as in a new network"
        _take_apart(model, pairs, frames)
    unused = tuple(taken.keys() - dict(model.named_parameters()).keys())
    return LoadedWeights(len(list(model.parameters())) - len(anew), anew, unused)


def _normalized(model: Any) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """List each convolution with the batch normalization behind it, in order of execution."""
    stem = model.backbone.stem
    yield stem[0], stem[1]
    for stage in model.backbone.stages:
        for block in stage:
            yield block.conv1, block.bn1
            yield block.conv2, block.bn2
            if block.downsample is not None:
                yield block.downsample[0], block.downsample[1]
    yield model.mask_features.join[0], model.mask_features.join[1]
    head = model.roi_heads.box_head
    yield head[0], head[1]


def _copy(parameter: Tensor, value: np.ndarray, path: Path, name: str) -> None:
    if tuple(parameter.shape) != value.shape:
        raise VimaError(
            "BAD_CHECKPOINT",
            f"{path}: {name} is {value.shape}; valid: {tuple(parameter.shape)}",
        )
    parameter.copy_(torch.from_numpy(value.copy()))


def _take_apart(
    model: MaskRcnn, pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]], frames: Tensor
) -> None:
    """Set each normalization to the statistics of its input; outputs stay the same."""
    given: dict[nn.BatchNorm2d, tuple[Tensor, Tensor]] = {}

    def note(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].double().transpose(0, 1).flatten(1)  # (C, B H W)
        given[norm] = values.mean(1).float(), values.var(1).float()

    hooks = [norm.register_forward_pre_hook(note) for _, norm in pairs]
    model.eval()(frames)
    for hook in hooks:
        hook.remove()
    for _, norm in pairs:
        mean, variance = given[norm]
        scale = (variance + norm.eps).sqrt()
        norm.weight.copy_(scale)
        norm.load_state_dict({**norm.state_dict(), "running_mean": mean, "running_var": variance})
        norm.bias.add_(mean)
