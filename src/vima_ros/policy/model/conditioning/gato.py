"""VIMA-Gato: a token per image patch, and the prompt is a prefix of the history."""

from __future__ import annotations

import torch
from torch import Tensor

from vima_ros.policy.config import VimaConfig
from vima_ros.policy.inputs import IMAGES
from vima_ros.policy.model.conditioning.base import Conditioning
from vima_ros.policy.model.image_encoder import ImageEncoder, patch_count
from vima_ros.policy.model.prefix import PrefixController


class PatchEncoder(ImageEncoder):
    """Encoder of an image pair as its patches, the front view's first."""

    def __init__(self, config: VimaConfig) -> None:
        super().__init__(config, class_token=False)
        self.tokens, self.output_width = patch_count(config), config.embed_dim

    def join(self, front: Tensor, top: Tensor) -> Tensor:
        """Join (K, patches, E) each to (K, 2 patches, E)."""
        return torch.cat([front, top], dim=1)


GATO = Conditioning(IMAGES, PatchEncoder, PrefixController)
