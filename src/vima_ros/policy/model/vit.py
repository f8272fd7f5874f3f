"""Vision transformer of crops and of whole images.

Specification: docs/vima_architecture.md, "Object encoder".

N is the number of images, W the width of the vision transformer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.attention import attention, split_heads

# docs/vima_architecture.md, "Object encoder".
PIXEL_MEAN = (0.3471, 0.3429, 0.3383)
PIXEL_STD = (0.3011, 0.2961, 0.2956)


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
    """Vision transformer over patches, with or without a class token.

    ``image_size``: height and width [px], which ``config.vit_patch`` divides. With a class token
    its output is the image's one feature; without, every patch has one.
    """

    def __init__(
        self, config: VimaConfig, image_size: tuple[int, int], output: int, class_token: bool
    ) -> None:
        super().__init__()
        width, patch = config.vit_width, config.vit_patch
        patches = (image_size[0] // patch) * (image_size[1] // patch)
        self.conv1 = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        if class_token:
            self.cls_token = nn.Parameter(torch.zeros(width))
        self.class_token = class_token
        self.pos_embed = nn.Parameter(torch.zeros(patches + class_token, width))
        self.ln_pre = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            ViTBlock(width, config.vit_heads) for _ in range(config.vit_layers)
        )
        self.ln_post = nn.LayerNorm(width)
        self.projection = nn.Parameter(torch.zeros(width, output))

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode images (N, 3, height, width) uint8 to (N, 1 or patches, output)."""
        mean = torch.tensor(PIXEL_MEAN, device=pixels.device).view(3, 1, 1)
        std = torch.tensor(PIXEL_STD, device=pixels.device).view(3, 1, 1)
        x = ((pixels / 255.0 - mean) / std).to(self.pos_embed.dtype)
        x = self.conv1(x).flatten(2).transpose(1, 2)  # (N, patches, W), row by row
        if self.class_token:
            x = torch.cat([self.cls_token.expand(len(x), 1, -1), x], dim=1)
        x = self.ln_pre(x + self.pos_embed)
        for i, block in enumerate(self.blocks, start=1):
            # Of the last block's outputs only the class token's is read.
            only_class = self.class_token and i == len(self.blocks)
            x = block(x, queries=1 if only_class else x.shape[1])
        return self.ln_post(x) @ self.projection
