"""Tokens of whole images: both views of an image pair through one vision transformer."""

from __future__ import annotations

from torch import Tensor, nn

from vima_ros.decision_attention import AttentionToken
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.batching import ImageBatch
from vima_ros.policy.model.vit import ViT
from vima_ros.specs import VIEW_IMAGE_SIZE


class ImageEncoder(nn.Module):
    """Encoder of image pairs as ``tokens`` tokens each, all of width ``output_width``.

    A pair that comes several times is encoded once. A subclass joins the two views' features.
    """

    tokens: int
    output_width: int

    def __init__(self, config: VimaConfig, class_token: bool) -> None:
        super().__init__()
        self.vit = ViT(config, VIEW_IMAGE_SIZE, config.embed_dim, class_token)

    @property
    def named_tokens(self) -> tuple[AttentionToken, ...]:
        """Tokens of a pair: each of both views, unless a subclass defines others."""
        return tuple(AttentionToken(slot=slot) for slot in range(self.tokens))

    def join(self, front: Tensor, top: Tensor) -> Tensor:
        """Join the views' features (K, 1 or patches, E) to (K, ``tokens``, ``output_width``)."""
        raise NotImplementedError

    def forward(self, images: ImageBatch) -> Tensor:
        """Encode M image pairs to (M times ``tokens``, ``output_width``)."""
        pixels = images.pixels  # (K, 2, 3, height, width)
        features = self.vit(pixels.flatten(0, 1)).unflatten(0, (len(pixels), 2))
        return self.join(features[:, 0], features[:, 1])[images.pair_rows].flatten(0, 1)


def patch_count(config: VimaConfig) -> int:
    """Return the number of patches of both views."""
    height, width = VIEW_IMAGE_SIZE
    return 2 * (height // config.vit_patch) * (width // config.vit_patch)
