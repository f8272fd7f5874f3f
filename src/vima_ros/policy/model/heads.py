"""Heads that decide an action from the controller's outputs.

B batch, T tokens of the history, P prompt tokens, E ``embed_dim``, n decisions, C bins of a head.

Specification: docs/vima_architecture.md, "Action decoder", "Conditioned place".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.batching import PromptBatch, Slots
from vima_ros.policy.model.controller import ControllerOutput, PromptMemory
from vima_ros.policy.model.object_encoder import mlp
from vima_ros.specs import (
    HEAD_BINS,
    HEADS,
    POLICY_FRAME_HEIGHT,
    POLICY_FRAME_WIDTH,
    POSITION_BINS,
    VIEWS,
)

PICK_HEADS, PLACE_HEADS = HEADS[:2], HEADS[2:]
PEAK_WIDTH = 1.0  # standard deviation of a box's peaks [bins]
POINTER_SCALE = 4.0  # peaks are sparse beside normalized tokens
MIN_ATTENTION = 0.1  # to the images of a view; with less their box fades


class ActionDecoder(nn.Module):
    """Categorical distributions of the components of ``heads``, each from its own MLP."""

    def __init__(self, config: VimaConfig, heads: Sequence[str]) -> None:
        super().__init__()
        width, hidden = config.embed_dim, config.decoder_hidden
        self.heads = nn.ModuleDict(
            {
                head: nn.ModuleList(mlp(width, hidden, hidden, count) for count in HEAD_BINS[head])
                for head in heads
            }
        )

    def forward(self, predicted: Tensor) -> dict[str, Tensor]:
        """Decode (..., E) to {head: logits (..., C)}, a head's components one after the other."""
        return {
            head: torch.cat([net(predicted) for net in nets], dim=-1)  # type: ignore[attr-defined]
            for head, nets in self.heads.items()
        }


class PlaceContext(NamedTuple):
    """Everything that a place is decided from, but for the picked object."""

    reads: Tensor  # (n,) int64, of the flattened (B, T): the tokens at which actions are read
    tokens: Tensor  # (B, T, E), outputs of the controller
    informed: Tensor  # (B, T, E), as ``AttentionScores`` has it
    scores: Tensor  # (B, T, P), of the first head of the first layer's cross-attention
    keys: Tensor  # (B, P, E), of the last layer's cross-attention, all heads'
    boxes: Tensor  # (B, P, 2, 151), ``encode_boxes``


def place_context(
    out: ControllerOutput, prompt: PromptMemory, reads: Tensor
) -> PlaceContext | None:
    """Collect a place's context; None where the prompt has no boxes, for no head reads them.

    ``out``: with the scores of layer 0.
    """
    if prompt.boxes is None:
        return None
    assert out.attention is not None
    keys = prompt.layers[-1][0].transpose(1, 2).flatten(2)
    scores = out.attention.prompt[0][:, 0]
    return PlaceContext(reads, out.tokens, out.attention.informed, scores, keys, prompt.boxes)


def encode_boxes(prompt: PromptBatch) -> Tensor:
    """Encode where each prompt token's box is, (B, P, 2, 151): by view, 0 for words and padding.

    Peaks at its center among the bins of x and y (150), as fractions of the frame, and a one.
    """
    slots = prompt.slots
    assert isinstance(slots, Slots)
    mask = slots.mask[:, None].float()  # (N, 1)
    axes = ((1, POLICY_FRAME_HEIGHT), (0, POLICY_FRAME_WIDTH))  # x is down, y to the right
    parts = []
    for count, (axis, size) in zip(POSITION_BINS, axes, strict=True):
        center = slots.boxes[:, axis, None] / size * (count - 1)  # [bins]
        bins = torch.arange(count, device=center.device)
        parts.append(mask * torch.exp(-0.5 * ((bins - center) / PEAK_WIDTH) ** 2))
    encoded = torch.cat([*parts, mask], dim=1)
    front = (torch.arange(len(mask), device=mask.device) < slots.n_front)[:, None]
    views = torch.stack([encoded * front, encoded * ~front], dim=1)
    words = views.new_zeros(1 + len(prompt.words), *views.shape[1:])
    return torch.cat([words, views])[prompt.rows]


class PlaceHead(nn.Module):
    """Decoder of the second pose that reads the picked object's tokens beside the action's.

    A pointer attends from that object to the prompt's images, and their boxes are copied to it.
    """

    def __init__(self, config: VimaConfig) -> None:
        super().__init__()
        width, hidden = config.embed_dim, config.place_hidden
        stages = 2 * len(VIEWS)  # of an object: informed and output, of each view
        self.absent = nn.Parameter(torch.zeros(stages, width))  # in place of an object not seen
        read = (1 + stages) * width + len(VIEWS)
        self.query = nn.Linear(read, width, bias=False)  # which of the images, beside the object's
        pointed = len(VIEWS) * (sum(POSITION_BINS) + 1)
        self.heads = nn.ModuleDict(
            {
                head: mlp(read + pointed, hidden, hidden, sum(HEAD_BINS[head]))
                for head in PLACE_HEADS
            }
        )

    def forward(self, context: PlaceContext, picked: Tensor) -> dict[str, Tensor]:
        """Decode n places to {head: logits (n, C)} of the second pose.

        ``picked`` (n, 2) int64, of the flattened (B, T): tokens of the object picked at each of
        ``context.reads``, in the front and the top view; -1: not seen there.
        """
        seen, rows = picked >= 0, picked.clamp(min=0)
        out, informed = context.tokens.flatten(0, 1), context.informed.flatten(0, 1)
        tokens = torch.cat([out[context.reads, None], informed[rows], out[rows]], dim=1)
        tokens = F.layer_norm(tokens, tokens.shape[-1:])  # (n, 5, E)
        known = torch.cat([seen, seen], dim=1)[..., None]
        objects = torch.where(known, tokens[:, 1:], self.absent)
        read = torch.cat([tokens[:, 0], objects.flatten(1), seen.to(tokens.dtype)], dim=-1)
        x = torch.cat([read, self.point(context, picked, read)], dim=-1)
        return {head: net(x) for head, net in self.heads.items()}

    def point(self, context: PlaceContext, picked: Tensor, read: Tensor) -> Tensor:
        """Read the boxes of the images that the picked object attends to, (n, 302) by view.

        The first layer's attention, by a head that is taught to look at the object's own images,
        and a query of ``read`` (n, ...) that chooses among them. 0 where no object is picked.
        """
        episode = context.reads // context.tokens.shape[1]
        token = torch.where(picked[:, 1] >= 0, picked[:, 1], picked[:, 0])
        own = context.scores.flatten(0, 1)[torch.where(token >= 0, token, context.reads)]  # (n, P)
        query = self.query(read)
        chosen = (context.keys[episode] @ query[:, :, None]).squeeze(-1).float()
        weights = (own + chosen * query.shape[-1] ** -0.5).softmax(-1) * (token >= 0)[:, None]
        boxes = torch.einsum("np,npvc->nvc", weights, context.boxes[episode])
        total = boxes[..., -1:]
        boxes = torch.cat([POINTER_SCALE * boxes[..., :-1] / (total + MIN_ATTENTION), total], -1)
        return boxes.flatten(1).to(read.dtype)
