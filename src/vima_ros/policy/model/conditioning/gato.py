"""VIMA-Gato: a token per image patch, and the prompt is a prefix of the history."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from vima_ros.decision_attention import AttentionToken
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.inputs import IMAGES
from vima_ros.policy.model.conditioning.base import Conditioning
from vima_ros.policy.model.image_encoder import ImageEncoder, patch_count
from vima_ros.policy.model.prefix import PrefixController
from vima_ros.specs import POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH, VIEW_IMAGE_SIZE, VIEWS


class PatchEncoder(ImageEncoder):
    """Encoder of an image pair as its patches, the front view's first."""

    def __init__(self, config: VimaConfig) -> None:
        super().__init__(config, class_token=False)
        self.tokens, self.output_width = patch_count(config), config.embed_dim
        self._patch = config.vit_patch

    @property
    def named_tokens(self) -> tuple[AttentionToken, ...]:
        """Patches of both views with their boxes in the policy frame."""
        size = self._patch * POLICY_FRAME_WIDTH // VIEW_IMAGE_SIZE[1]
        places = product(
            range((size - 1) // 2, POLICY_FRAME_HEIGHT, size),
            range((size - 1) // 2, POLICY_FRAME_WIDTH, size),
        )
        boxes = [(x, y, size - 1, size - 1) for y, x in places]
        return tuple(
            AttentionToken(view=view, slot=slot, box=box)
            for view in VIEWS
            for slot, box in enumerate(boxes)
        )

    def join(self, front: Tensor, top: Tensor) -> Tensor:
        """Join (K, patches, E) each to (K, 2 patches, E)."""
        return torch.cat([front, top], dim=1)


GATO = Conditioning(IMAGES, PatchEncoder, PrefixController)
