"""Object tokens: a small vision transformer for the crop, an MLP for the box.

Specification: docs/vima_architecture.md, "Object encoder".

N is the number of object slots, W the width of the vision transformer, E ``embed_dim``.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.batching import Slots
from vima_ros.policy.model.vit import ViT
from vima_ros.specs import CROP_SIZE, POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH, VIEWS

# docs/vima_architecture.md, "Object encoder".
BOX_SCALE = (
    POLICY_FRAME_WIDTH,
    POLICY_FRAME_HEIGHT,
    POLICY_FRAME_HEIGHT,
    POLICY_FRAME_WIDTH,
)


def mlp(*widths: int) -> nn.Sequential:
    """Build linear layers with ReLU between; the linears sit at 0, 3, 6 as published."""
    layers: list[nn.Module] = [nn.Linear(widths[0], widths[1])]
    for into, out in pairwise(widths[1:]):
        layers += [nn.Identity(), nn.ReLU(), nn.Linear(into, out)]
    return nn.Sequential(*layers)


class ObjectEncoder(nn.Module):
    """Encoder of crop and box as one token: one vision transformer, a box MLP per view.

    Dark crops are ordinary input here. The mask is not looked at: a padded slot has a token too.
    A crop that several slots share is encoded once.
    """

    def __init__(self, config: VimaConfig) -> None:
        super().__init__()
        width = config.box_width
        self.vit = ViT(config, (CROP_SIZE, CROP_SIZE), config.vit_output, class_token=True)
        self.output_width = config.embed_dim
        self.box_mlp = nn.ModuleDict({view: mlp(4, width, width, width) for view in VIEWS})
        self.join = nn.ModuleDict(
            {view: nn.Linear(config.vit_output + width, config.embed_dim) for view in VIEWS}
        )

    def forward(self, slots: Slots) -> Tensor:
        """Encode N slots to (N, E), in the order of the slots."""
        features = self.encode_crops(slots.crops)[slots.crop_rows]  # (N, vit_output)
        per_view = [slots.n_front, len(slots.mask) - slots.n_front]
        tokens = []
        for view, image, boxes in zip(
            VIEWS, features.split(per_view), slots.boxes.split(per_view), strict=True
        ):
            tokens.append(self.join[view](torch.cat([image, self.encode_boxes(view, boxes)], -1)))
        return torch.cat(tokens)

    def encode_crops(self, crops: Tensor) -> Tensor:
        """Encode crops (K, 3, 32, 32) uint8 to (K, vit_output)."""
        return self.vit(crops)[:, 0]

    def encode_boxes(self, view: str, boxes: Tensor) -> Tensor:
        """Encode boxes (N, 4) int64 [px] to (N, box_width)."""
        scaled = boxes / torch.tensor(BOX_SCALE, device=boxes.device)
        return self.box_mlp[view](scaled.to(self.vit.cls_token.dtype))
