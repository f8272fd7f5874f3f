"""VIMA-Flamingo: patches resampled by a Perceiver, and every layer cross-attends to the prompt."""

from __future__ import annotations

import torch
from torch import Tensor

from vima_ros.policy.config import VimaConfig
from vima_ros.policy.inputs import IMAGES
from vima_ros.policy.model.conditioning.base import Conditioning
from vima_ros.policy.model.cross_attention import CrossAttentionController
from vima_ros.policy.model.image_encoder import ImageEncoder
from vima_ros.policy.model.perceiver import Perceiver


class LatentEncoder(ImageEncoder):
    """Encoder of an image pair as the latents that have read its patches."""

    def __init__(self, config: VimaConfig) -> None:
        super().__init__(config, class_token=False)
        self.tokens, self.output_width = config.perceiver_latents, config.embed_dim
        self.perceiver = Perceiver(
            config.embed_dim,
            config.perceiver_latents,
            config.perceiver_heads,
            config.perceiver_blocks,
            config.perceiver_layers,
        )

    def join(self, front: Tensor, top: Tensor) -> Tensor:
        """Read (K, patches, E) of both views into (K, latents, E)."""
        return self.perceiver(torch.cat([front, top], dim=1))


FLAMINGO = Conditioning(IMAGES, LatentEncoder, CrossAttentionController)
