"""VIMA-GPT: one token per image pair, and the prompt is a prefix of the history."""

from __future__ import annotations

import torch
from torch import Tensor

from vima_ros.policy.config import VimaConfig
from vima_ros.policy.inputs import IMAGES
from vima_ros.policy.model.conditioning.base import Conditioning
from vima_ros.policy.model.image_encoder import ImageEncoder
from vima_ros.policy.model.prefix import PrefixController


class ClassTokenEncoder(ImageEncoder):
    """Encoder of an image pair as one token: both class tokens side by side."""

    def __init__(self, config: VimaConfig) -> None:
        super().__init__(config, class_token=True)
        self.tokens, self.output_width = 1, 2 * config.embed_dim

    def join(self, front: Tensor, top: Tensor) -> Tensor:
        """Join (K, 1, E) each to (K, 1, 2 E)."""
        return torch.cat([front, top], dim=2)


GPT = Conditioning(IMAGES, ClassTokenEncoder, PrefixController)
