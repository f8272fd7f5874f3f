"""Object tokens: a small vision transformer for the crop, an MLP for the box.

Specification: docs/vima_architecture.md, "Object encoder".

N is the number of object slots, W the width of the vision transformer, E ``embed_dim``.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.attention import attention, split_heads
from vima_ros.policy.model.batching import Slots
from vima_ros.specs import CROP_SIZE, POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH, VIEWS

# docs/vima_architecture.md, "Object encoder".
PIXEL_MEAN = (0.3471, 0.3429, 0.3383)
PIXEL_STD = (0.3011, 0.2961, 0.2956)
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


class ViTMlp(nn.Module):
    """Feed-forward part with the sigmoid approximation of GELU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, tokens, W) to the same shape."""
        hidden = self.c_fc(x)
        return self.c_proj(hidden * torch.sigmoid(1.702 * hidden))


class ViTAttention(nn.Module):
    """Self-attention; queries, keys and values from one matrix."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, queries: int) -> Tensor:
        """Attend from the first ``queries`` of (N, tokens, W) to all, giving (N, queries, W)."""
        parts = self.in_proj(x).chunk(3, dim=-1)
        query, keys, values = (split_heads(part, self.heads) for part in parts)
        return self.out_proj(attention(query[:, :, :queries], (keys, values)))


class ViTBlock(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = ViTAttention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = ViTMlp(width)

    def forward(self, x: Tensor, queries: int) -> Tensor:
        """Map (N, tokens, W) to the outputs of the first ``queries`` tokens, (N, queries, W)."""
        x = x[:, :queries] + self.attn(self.ln_1(x), queries)
        return x + self.mlp(self.ln_2(x))


class ViT(nn.Module):
    """Vision transformer of crops: patches and a class token, whose output is the feature."""

    def __init__(self, config: VimaConfig) -> None:
        super().__init__()
        width, patch = config.vit_width, config.vit_patch
        self.conv1 = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.cls_token = nn.Parameter(torch.zeros(width))
        self.pos_embed = nn.Parameter(torch.zeros((CROP_SIZE // patch) ** 2 + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            ViTBlock(width, config.vit_heads) for _ in range(config.vit_layers)
        )
        self.ln_post = nn.LayerNorm(width)
        self.projection = nn.Parameter(torch.zeros(width, config.vit_output))

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode normalized crops (N, 3, 32, 32) float32 to (N, vit_output)."""
        patches = self.conv1(pixels).flatten(2).transpose(1, 2)  # (N, patches, W)
        class_token = self.cls_token.expand(len(pixels), 1, -1)  # (N, 1, W)
        x = torch.cat([class_token, patches], dim=1) + self.pos_embed  # (N, 1 + patches, W)
        x = self.ln_pre(x)
        for i, block in enumerate(self.blocks, start=1):
            # Of the last block's outputs only the class token's is read.
            x = block(x, queries=1 if i == len(self.blocks) else x.shape[1])
        return self.ln_post(x[:, 0]) @ self.projection


class ObjectEncoder(nn.Module):
    """Encoder of crop and box as one token: one vision transformer, a box MLP per view.

    Dark crops are ordinary input here. The mask is not looked at: a padded slot has a token too.
    A crop that several slots share is encoded once.
    """

    def __init__(self, config: VimaConfig) -> None:
        super().__init__()
        width = config.box_width
        self.vit = ViT(config)
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
        mean = torch.tensor(PIXEL_MEAN, device=crops.device).view(3, 1, 1)
        std = torch.tensor(PIXEL_STD, device=crops.device).view(3, 1, 1)
        return self.vit(((crops / 255.0 - mean) / std).to(self.vit.cls_token.dtype))

    def encode_boxes(self, view: str, boxes: Tensor) -> Tensor:
        """Encode boxes (N, 4) int64 [px] to (N, box_width)."""
        scaled = boxes / torch.tensor(BOX_SCALE, device=boxes.device)
        return self.box_mlp[view](scaled.to(self.vit.cls_token.dtype))
