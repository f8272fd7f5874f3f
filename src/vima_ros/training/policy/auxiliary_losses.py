"""Losses of policy training: the actions' loss and auxiliary ones.

The action loss is the paper's (section 4): cross-entropy of twelve heads, with teacher forcing.
From actions alone, a small network learns for long only where objects usually are. So auxiliary
heads predict from object tokens where the object would be picked, where the prompt's scene shows
it, its shape and its identity, and two attentions are supervised: of an object to its images in
the prompt, and of the action to the objects it is about. The heads are discarded after training.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from vima_ros.geometry import Workspace
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.attention import split_heads
from vima_ros.policy.model.controller import Block, CrossAttention, causal, position_ids
from vima_ros.policy.model.network import VimaNetwork
from vima_ros.specs import (
    POLICY_FRAME_HEIGHT,
    POLICY_FRAME_WIDTH,
    POSITION_BINS,
    EndEffector,
)
from vima_ros.training.policy.action_loss import action_losses
from vima_ros.training.policy.batching import IN_SCENE, PolicyBatch
from vima_ros.training.policy.privileged_labels import NOTHING, SHAPE_NAMES

KEY_WIDTH = 64
OFFSET_BINS, MIN_OFFSET = (
    9,
    0.005,
)  # a centimeter each; what grasp_offsets less is picked amid it [m]
TEMPERATURE = 0.1  # of the identity loss


@dataclass(frozen=True)
class Outputs:
    """Outputs of the network for a batch.

    ``logits`` {head: (n, C)}; ``objects`` (S, E); ``informed`` (B, T, E): the tokens of the
    history after the last cross-attention, all that they take from the prompt. Attention before
    the softmax, of two heads each: ``prompt_scores`` (B, 2, T, P), of the first cross-attention;
    ``action_scores`` (n, 2, T), of the last self-attention, where the actions are read.
    """

    logits: dict[str, Tensor]
    objects: Tensor
    informed: Tensor
    prompt_scores: Tensor
    action_scores: Tensor


class PolicyWithAuxiliaryHeads(nn.Module):
    """The network with auxiliary heads, which are discarded after training."""

    def __init__(self, network: VimaNetwork) -> None:
        super().__init__()
        self.network = network
        config: VimaConfig = network.config
        width = config.embed_dim
        self.position_head = nn.Linear(width, sum(POSITION_BINS))
        self.identity_head = nn.Linear(width, KEY_WIDTH)
        self.goal_head = nn.Linear(width, sum(POSITION_BINS))
        self.grasp_offset_head = nn.Linear(width, 2 * OFFSET_BINS)
        self.shape_head = nn.Linear(width, len(SHAPE_NAMES))

    def forward(self, batch: PolicyBatch) -> Outputs:
        """Run the teacher-forced pass over all steps of all episodes."""
        network = self.network
        slots = batch.prompt.slots
        objects = network.object_encoder(slots)  # (S, E)
        words = network.word_table(batch.prompt.words)  # (W, D)
        shown = network.prompt_object_mlp(objects)  # (S, D)
        known = torch.ones(len(words), dtype=torch.bool, device=words.device)
        prompt = _rows(torch.cat([words, shown]), batch.prompt.rows)
        prompt_mask = _rows(torch.cat([known, slots.mask])[:, None], batch.prompt.rows)[..., 0]
        encoded = network.t5(inputs_embeds=prompt, attention_mask=prompt_mask).last_hidden_state
        memory = network.controller.read_prompt(network.prompt_projection(encoded), prompt_mask)
        effectors = network.end_effector_embedding(batch.effectors)
        observed = network.observation_fusion(torch.cat([objects, effectors], dim=-1))  # (S, E)
        actions = network.action_encoder(batch.fractions)  # (A, E)
        tokens = _rows(torch.cat([observed, actions]), batch.tokens)  # (B, T, E)
        attend = causal(batch.mask)
        first = cast(CrossAttention, network.controller.xattns[0])
        last = cast(Block, network.controller.h[-1])
        with (
            _capture_outputs(first.query) as queries,
            _capture_outputs(network.controller.xattns[-1]) as informed,
            _capture_outputs(last.attn.c_attn) as packed,
        ):
            out, _ = network.controller(tokens, position_ids(batch.mask), attend, memory)
        read = out.flatten(0, 1)[batch.ask]  # (n, E)
        prompt_scores = _attention(queries[0], memory.layers[0][0], first.heads)[:, :2]
        query, keys, _ = packed[0].chunk(3, dim=-1)
        action_scores = _attention(query, split_heads(keys, last.attn.heads), last.attn.heads)[
            :, :2
        ]
        action_scores = action_scores.transpose(1, 2).flatten(0, 1)[batch.ask]
        return Outputs(
            network.action_decoder(read),
            observed,
            informed[0],
            prompt_scores.masked_fill(~memory.attend[:, None], float("-inf")),
            action_scores.masked_fill(~attend.flatten(0, 1)[batch.ask][:, None], float("-inf")),
        )

    def losses(self, batch: PolicyBatch, smoothing: float) -> dict[str, Tensor]:
        """Compute the action losses of each head and the auxiliary ones. See ``action_losses``."""
        outputs = self(batch)
        losses = action_losses(outputs.logits, batch, smoothing)
        losses["position"] = self._position_loss(outputs.objects, batch)
        losses["goal"] = self._goal_loss(outputs.informed, batch)
        losses["grasp_offset"] = self._grasp_offset_loss(outputs.objects, batch)
        losses["identity"] = self._identity_loss(outputs.objects, batch)
        losses["shape"] = self._shape_loss(outputs.objects, batch)
        losses["prompt_attention"] = self._prompt_attention_loss(outputs.prompt_scores, batch)
        losses["action_attention"] = self._action_attention_loss(outputs.action_scores, batch)
        return losses

    def _position_loss(self, objects: Tensor, batch: PolicyBatch) -> Tensor:
        """Predict from an object's token the bins of the workspace where it would be picked."""
        rows = (batch.objects != NOTHING) & (batch.step_of >= 0)
        low, high = (
            torch.tensor(corner, device=objects.device)
            for corner in (Workspace().low, Workspace().high)
        )
        fractions = (batch.grasps[rows] - low) / (high - low)
        return _position_cross_entropy(self.position_head(objects[rows]), fractions)

    def _goal_loss(self, informed: Tensor, batch: PolicyBatch) -> Tensor:
        """Predict from an object's token, after the prompt, its position in the prompt's scene.

        Where one scene does.
        """
        slots, known = batch.prompt.slots, batch.objects + 1  # 0: none
        in_scene = slots.mask & (batch.step_of == IN_SCENE)
        in_scene[: slots.n_front] = False
        count = int(known.max()) + 1
        often = torch.bincount(known[in_scene], minlength=count)
        middles = torch.zeros(count, 2, device=known.device)
        frame = torch.tensor([POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH], device=known.device)
        middles[known[in_scene]] = slots.boxes[in_scene][:, [1, 0]] / frame
        which = _gather_tokens(torch.where(batch.step_of >= 0, known, 0), batch).clamp(
            min=0
        )  # (B, T)
        rows = (which > 0) & (often[which] == 1)
        if not rows.any():
            return informed.new_zeros(())
        return _position_cross_entropy(self.goal_head(informed[rows]), middles[which[rows]])

    def _grasp_offset_loss(self, objects: Tensor, batch: PolicyBatch) -> Tensor:
        """Predict from a concave object's token the offset of its grasp from its center [cm]."""
        rows = batch.grasp_offsets.norm(dim=-1) > MIN_OFFSET  # not a NaN
        if not rows.any():
            return objects.new_zeros(())
        most = OFFSET_BINS // 2
        target = (100.0 * batch.grasp_offsets[rows]).round().long().clamp(
            -most, most
        ) + most  # (n, 2)
        logits = self.grasp_offset_head(objects[rows]).float().unflatten(-1, (2, OFFSET_BINS))
        return F.cross_entropy(logits.flatten(0, 1), target.flatten())

    def _identity_loss(self, objects: Tensor, batch: PolicyBatch) -> Tensor:
        """Contrast objects: tokens of one, in all views, steps and the prompt, are similar.

        Those of others are not: with all others of the episode as alternatives, for objects of
        other episodes look different enough to teach little (SupCon, Khosla et al., NeurIPS 2020).
        With k tokens of one object it falls to log(k - 1), not to 0.
        """
        rows = torch.nonzero(batch.objects != NOTHING)[:, 0]
        which = batch.objects[rows]
        episode = batch.episode_of[batch.prompt.slots.crop_rows[rows]]
        features = F.normalize(self.identity_head(objects[rows]).float(), dim=-1)
        order = torch.argsort(episode)
        which, episode, features = which[order], episode[order], features[order]
        counts = torch.bincount(episode)
        counts = counts[counts > 0]
        longest = int(counts.max())
        index = torch.arange(longest, device=rows.device)
        valid = index < counts[:, None]  # (B, M)
        starts = counts.cumsum(0) - counts
        at = (starts[:, None] + index).clamp(max=len(rows) - 1)
        f, w = features[at], which[at]  # (B, M, 64), (B, M)
        scores = f @ f.transpose(1, 2) / TEMPERATURE  # (B, M, M)
        itself = torch.eye(longest, dtype=torch.bool, device=rows.device)
        allowed = valid[:, None] & ~itself
        alike = (w[:, :, None] == w[:, None]) & allowed & valid[:, :, None]
        logs = scores.masked_fill(~allowed, -1e9).log_softmax(-1)
        return -(logs[alike].mean() if alike.any() else logs.sum() * 0.0)

    def _shape_loss(self, objects: Tensor, batch: PolicyBatch) -> Tensor:
        """Predict the shape from an object's token."""
        rows = batch.shapes != NOTHING
        if not rows.any():
            return objects.new_zeros(())
        return F.cross_entropy(self.shape_head(objects[rows]).float(), batch.shapes[rows])

    def _prompt_attention_loss(self, scores: Tensor, batch: PolicyBatch) -> Tensor:
        """Supervise an object's attention to its images and to words for its look in the prompt.

        If there are none, at other words.
        """
        count = len(batch.prompt.words)
        rows, none = batch.prompt.rows, batch.objects.new_full((1 + count,), NOTHING)
        shown = torch.cat([none, batch.objects])[rows]  # (B, P)
        named = torch.cat([none[:1], batch.named_looks, torch.full_like(batch.objects, NOTHING)])[
            rows
        ]
        words = (rows > 0) & (rows <= count) & (named == NOTHING)
        # Blocks to sweep look alike, and one of them is shown in the prompt.
        sweeps = _gather_tokens(batch.effectors, batch) == EndEffector.SPATULA  # (B, T)
        objects = _gather_tokens(batch.objects, batch)
        loss = scores.new_zeros(())
        for head, (ours, theirs) in enumerate(
            ((objects, shown), (_gather_tokens(batch.looks, batch), named))
        ):
            right = (ours[:, :, None] == theirs[:, None]) & (theirs != NOTHING)[:, None]
            lost = (objects != NOTHING) & ~sweeps & ~right.any(-1)
            loss = loss + _attention_loss(
                scores[:, head], right | (lost[:, :, None] & words[:, None])
            )
        return loss

    def _action_attention_loss(self, scores: Tensor, batch: PolicyBatch) -> Tensor:
        """Supervise the action's attention to the picked object and its target object."""
        length = batch.mask.shape[1]
        objects = _gather_tokens(batch.objects, batch)[batch.ask // length]  # (n, T)
        steps = _gather_tokens(batch.step_of, batch)[batch.ask // length]
        now = steps == torch.arange(len(objects), device=objects.device)[:, None]
        wanted = torch.stack([batch.picked, batch.placed], 1)[:, :, None]  # (n, 2, 1)
        return _attention_loss(
            scores, (objects[:, None] == wanted) & (wanted != NOTHING) & now[:, None]
        )


@contextmanager
def _capture_outputs(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Capture the outputs of ``layer`` inside a ``with`` block, by a forward hook."""
    outputs: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _layer, _inputs, out: outputs.append(out))
    try:
        yield outputs
    finally:
        handle.remove()


def _attention(query: Tensor, keys: Tensor, heads: int) -> Tensor:
    """Compute scores (B, H, T, S) before the softmax from (B, T, E) and (B, H, S, E / H)."""
    return (split_heads(query, heads) @ keys.mT).float() / keys.shape[-1] ** 0.5


def _position_cross_entropy(logits: Tensor, fractions: Tensor) -> Tensor:
    """Compute the cross-entropy of x and y bins (n, 150) at ``fractions`` (n, 2) of the range."""
    loss = logits.new_zeros(())
    for axis, part in enumerate(logits.float().split(POSITION_BINS, -1)):
        last = part.shape[-1] - 1
        loss = loss + F.cross_entropy(
            part, (fractions[:, axis] * last).ceil().long().clamp(0, last)
        )
    return loss / 2


def _gather_tokens(values: Tensor, batch: PolicyBatch) -> Tensor:
    """Gather slots' values (S,) by token of the history (B, T); NOTHING for other tokens."""
    actions = values.new_full((len(batch.fractions),), NOTHING)
    return torch.cat([values.new_full((1,), NOTHING), values, actions])[batch.tokens]


def _attention_loss(scores: Tensor, right: Tensor) -> Tensor:
    """Compute the mean -log of the attention (..., K) on the ``right`` keys, where any exist."""
    rows = right.any(-1)
    if not rows.any():
        return scores.new_zeros(())
    scores, right = scores[rows], right[rows]
    return (scores.logsumexp(-1) - scores.masked_fill(~right, float("-inf")).logsumexp(-1)).mean()


def _rows(values: Tensor, rows: Tensor) -> Tensor:
    """Gather ``values`` (N, ...) at ``rows``, where row 0 is zero."""
    return torch.cat([values.new_zeros(1, *values.shape[1:]), values])[rows]
