"""Export of the trained detector to ONNX, and of its weights for further training."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vima_ros.files import atomic_path, write_atomic
from vima_ros.perception.detectors.mask_rcnn import FRAME_SIZE, MaskRcnn
from vima_ros.specs import VIEWS

OPSET = 17


class _TwoViews(nn.Module):
    """Module from frames uint8 (2, 128, 256, 3) to boxes, scores and masks of front, then top."""

    def __init__(self, model: MaskRcnn) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        found, _ = self.model(images)
        return tuple(
            value
            for view in found
            for value in (view["boxes"], view["scores"], view["masks"][:, 0])
        )


def export_detector(model: MaskRcnn, path: Path, card: Mapping[str, Any]) -> None:
    """Write ``model`` to ``path`` as ONNX for two views, as detectors/onnx_runtime.py reads it.

    ``card`` becomes JSON in the metadata ``card``.

    Input ``images``: uint8 RGB (2, 128, 256, 3), front and top. Outputs of each view v:
    ``boxes_v`` float32 (n, 4) x1, y1, x2, y2 [px], ``scores_v`` (n,), falling, ``masks_v``
    (n, M, M), probabilities inside the box.
    """
    names = [f"{kind}_{view}" for view in VIEWS for kind in ("boxes", "scores", "masks")]
    images = torch.zeros((len(VIEWS), *FRAME_SIZE, 3), dtype=torch.uint8)
    exported: Any = io.BytesIO()  # which the exporter accepts, whatever its annotation says
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing fixes the frame's size, as it should
        torch.onnx.export(
            _TwoViews(model).eval(),
            (images,),
            exported,
            input_names=["images"],
            output_names=names,
            dynamic_axes={name: {0: f"n_{name.split('_')[1]}"} for name in names},
            opset_version=OPSET,
            dynamo=False,
        )
    graph = onnx.load_model_from_string(exported.getvalue())
    onnx.helper.set_model_props(graph, {"card": json.dumps(card)})
    onnx.checker.check_model(graph)
    write_atomic(path, graph.SerializeToString())


def save_weights(model: MaskRcnn, path: Path, card: Mapping[str, Any]) -> None:
    """Write ``model``'s weights to ``path``, a .safetensors that holds sizes and ``card``."""
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    facts = {"config": json.dumps(asdict(model.config)), "card": json.dumps(card)}
    with atomic_path(path) as unfinished:
        save_file(state, unfinished, facts)
