"""Auxiliary losses of a network that reads whole images, as those of object tokens are of others.

From actions alone it learns for very long only where objects usually are: an image pair's tokens
would have to say what is where before the action's loss can ask for it. So an auxiliary head is
asked where the object is that looks like a thumbnail, and another what a prompt's image of a
single object shows. The heads are discarded after training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.batching import ImageBatch
from vima_ros.specs import POLICY_FRAME_HEIGHT, POSITION_BINS, VIEW_IMAGE_SIZE
from vima_ros.training.policy.action_loss import position_cross_entropy
from vima_ros.training.policy.image_batching import ShownObjects, WholeImageBatch

THUMBNAIL = 5  # pixels along each side, spread over the object's box
THUMBNAIL_WIDTH = 3 * THUMBNAIL**2


class ImageHeads(nn.Module):
    """Auxiliary heads of image pairs: ``position`` and ``thumbnail``."""

    def __init__(self, config: VimaConfig) -> None:
        super().__init__()
        width = config.embed_dim
        self.query = nn.Sequential(nn.Linear(THUMBNAIL_WIDTH, width), nn.ReLU())
        self.query_key = nn.Linear(width, width)
        self.token_key = nn.Linear(width, width)
        self.token_value = nn.Linear(width, width)
        self.position = nn.Sequential(
            nn.Linear(2 * width, 2 * width), nn.ReLU(), nn.Linear(2 * width, sum(POSITION_BINS))
        )
        self.thumbnail = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2 * THUMBNAIL_WIDTH)
        )

    def losses(self, tokens: Tensor, batch: WholeImageBatch) -> dict[str, Tensor]:
        """Compute both losses from all tokens (N, E) of the batch's image pairs."""
        images, shown = batch.prompt.slots, batch.shown
        assert isinstance(images, ImageBatch)
        tokens = tokens.unflatten(0, (len(images.pair_rows), images.tokens))  # (M, Q, E)
        thumbnails = thumbnails_of(images, shown)
        return {
            "position": self.position_loss(tokens, thumbnails, shown),
            "thumbnail": self.thumbnail_loss(tokens, thumbnails, shown),
        }

    def position_loss(self, tokens: Tensor, thumbnails: Tensor, shown: ShownObjects) -> Tensor:
        """Predict where in an image pair the object is that looks like a thumbnail."""
        rows = torch.nonzero(shown.places.isfinite().all(-1))[:, 0]
        if not len(rows):
            return tokens.new_zeros(())
        query = self.query(thumbnails[rows])  # (n, E)
        of_pair = tokens[shown.pairs[rows]]  # (n, Q, E)
        keys = self.token_key(of_pair)
        scores = (keys @ self.query_key(query)[:, :, None])[..., 0] * keys.shape[-1] ** -0.5
        read = (scores.softmax(-1)[:, None] @ self.token_value(of_pair))[:, 0]
        logits = self.position(torch.cat([read, query], -1))
        return position_cross_entropy(logits, shown.places[rows])

    def thumbnail_loss(self, tokens: Tensor, thumbnails: Tensor, shown: ShownObjects) -> Tensor:
        """Predict the thumbnail, in either view, of the only object that an image pair shows."""
        rows = torch.nonzero(shown.alone)[:, 0]
        if not len(rows):
            return tokens.new_zeros(())
        predicted = self.thumbnail(tokens.mean(1)[shown.pairs[rows]])
        of_view = predicted.unflatten(-1, (2, THUMBNAIL_WIDTH))
        own = of_view[torch.arange(len(rows), device=rows.device), shown.views[rows]]
        return F.smooth_l1_loss(own.float(), thumbnails[rows], beta=0.1)


def thumbnails_of(images: ImageBatch, shown: ShownObjects) -> Tensor:
    """Take THUMBNAIL x THUMBNAIL pixels of each object from its image, (v, 75) about -1 to 1."""
    scale = POLICY_FRAME_HEIGHT // VIEW_IMAGE_SIZE[0]
    steps = torch.linspace(-0.4, 0.4, THUMBNAIL, device=shown.boxes.device)
    x, y, height, width = shown.boxes.T[:, :, None] / scale  # (v, 1) each
    rows = (y + steps * height).to(torch.int64).clamp(0, VIEW_IMAGE_SIZE[0] - 1)
    columns = (x + steps * width).to(torch.int64).clamp(0, VIEW_IMAGE_SIZE[1] - 1)
    pair, view = images.pair_rows[shown.pairs], shown.views
    pixels = images.pixels[
        pair[:, None, None], view[:, None, None], :, rows[:, :, None], columns[:, None]
    ]  # (v, 5, 5, 3)
    return pixels.flatten(1).float() / 127.5 - 1.0
