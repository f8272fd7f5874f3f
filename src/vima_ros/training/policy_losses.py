"""What a policy is trained on: its actions, and what leads there sooner.

The action loss is the paper's (section 4): cross-entropy of the twelve heads, the history given as
it was demonstrated. A small network that is shown only actions learns for long just where things
usually are. So its object tokens are also asked where the object would be picked, what shape it
has and which one it is, and two of its attentions are told what to look at: from an object to its
pictures in the prompt, and from where the action is read to the objects that it is about. What
asks is thrown away after training.
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
from vima_ros.policy.attention import split_heads
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.controller import Block, CrossAttention, causal, position_ids
from vima_ros.policy.network import VimaNetwork
from vima_ros.specs import BINS, HEAD_BINS, POSITION_BINS, EndEffector
from vima_ros.training.policy_batches import PolicyBatch
from vima_ros.training.policy_clues import NOTHING, SHAPE_NAMES

KEY_WIDTH = 64
LEAN_BINS, LEAST_LEAN = 9, 0.005  # a centimetre each; what leans less is picked amid it [m]
TEMPERATURE = 0.1  # of the identity loss


@dataclass(frozen=True)
class Answers:
    """What the network says of a batch.

    ``logits`` {head: (n, C)}; ``objects`` (S, E). Attention before the softmax, of two heads each:
    ``matching`` (B, 2, T, P), of the first cross-attention; ``choosing`` (n, 2, T), of the last
    self-attention, where the actions are read.
    """

    logits: dict[str, Tensor]
    objects: Tensor
    matching: Tensor
    choosing: Tensor


class Learner(nn.Module):
    """The network with what is only there to teach it."""

    def __init__(self, network: VimaNetwork) -> None:
        super().__init__()
        self.network = network
        config: VimaConfig = network.config
        width = config.embed_dim
        self.where = nn.Linear(width, sum(POSITION_BINS))
        self.who = nn.Linear(width, KEY_WIDTH)
        self.lean = nn.Linear(width, 2 * LEAN_BINS)
        self.what = nn.Linear(width, len(SHAPE_NAMES))

    def answer(self, batch: PolicyBatch) -> Answers:
        """The teacher-forced pass over all steps of all episodes."""
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
        seen = network.observation_fusion(torch.cat([objects, effectors], dim=-1))  # (S, E)
        actions = network.action_encoder(batch.fractions)  # (A, E)
        tokens = _rows(torch.cat([seen, actions]), batch.tokens)  # (B, T, E)
        attend = causal(batch.mask)
        first = cast(CrossAttention, network.controller.xattns[0])
        last = cast(Block, network.controller.h[-1])
        with _heard(first.query) as queries, _heard(last.attn.c_attn) as packed:
            out, _ = network.controller(tokens, position_ids(batch.mask), attend, memory)
        read = out.flatten(0, 1)[batch.ask]  # (n, E)
        matching = _attention(queries[0], memory.layers[0][0], first.heads)[:, :2]
        query, keys, _ = packed[0].chunk(3, dim=-1)
        choosing = _attention(query, split_heads(keys, last.attn.heads), last.attn.heads)[:, :2]
        choosing = choosing.transpose(1, 2).flatten(0, 1)[batch.ask]
        return Answers(
            network.action_decoder(read),
            seen,
            matching.masked_fill(~memory.attend[:, None], float("-inf")),
            choosing.masked_fill(~attend.flatten(0, 1)[batch.ask][:, None], float("-inf")),
        )

    def losses(self, batch: PolicyBatch, smoothing: float) -> dict[str, Tensor]:
        """The action's, of each kind of head, and those that help. See ``action_losses``."""
        answers = self.answer(batch)
        losses = action_losses(answers.logits, batch, smoothing)
        losses["where"] = self._where(answers.objects, batch)
        losses["lean"] = self._lean(answers.objects, batch)
        losses["who"] = self._who(answers.objects, batch)
        losses["what"] = self._what(answers.objects, batch)
        losses["match"] = self._match(answers.matching, batch)
        losses["choose"] = self._choose(answers.choosing, batch)
        return losses

    def _where(self, objects: Tensor, batch: PolicyBatch) -> Tensor:
        """An object's token tells in which bins of the workspace it would be picked."""
        rows = (batch.objects != NOTHING) & (batch.step_of != NOTHING)
        low, high = (
            torch.tensor(corner, device=objects.device)
            for corner in (Workspace().low, Workspace().high)
        )
        fractions = (batch.grasps[rows] - low) / (high - low)
        loss = objects.new_zeros(())
        for logits, count, axis in zip(
            self.where(objects[rows]).float().split(POSITION_BINS, -1),
            POSITION_BINS,
            (0, 1),
            strict=True,
        ):
            target = (fractions[:, axis] * (count - 1)).ceil().long().clamp(0, count - 1)
            loss = loss + F.cross_entropy(logits, target)
        return loss / 2

    def _lean(self, objects: Tensor, batch: PolicyBatch) -> Tensor:
        """A concave object's token tells how far from its middle it would be picked [cm]."""
        rows = batch.leans.norm(dim=-1) > LEAST_LEAN  # not a NaN
        if not rows.any():
            return objects.new_zeros(())
        most = LEAN_BINS // 2
        target = (100.0 * batch.leans[rows]).round().long().clamp(-most, most) + most  # (n, 2)
        logits = self.lean(objects[rows]).float().unflatten(-1, (2, LEAN_BINS))
        return F.cross_entropy(logits.flatten(0, 1), target.flatten())

    def _who(self, objects: Tensor, batch: PolicyBatch) -> Tensor:
        """Tokens of one object, in both views, over time and in the prompt, are alike.

        Those of others are not: with all others of the episode as alternatives, for objects of
        other episodes look different enough to teach little (SupCon, Khosla et al., NeurIPS 2020).
        With k tokens of one object it falls to log(k - 1), not to 0.
        """
        rows = torch.nonzero(batch.objects != NOTHING)[:, 0]
        which = batch.objects[rows]
        episode = batch.episode_of[batch.prompt.slots.crop_rows[rows]]
        features = F.normalize(self.who(objects[rows]).float(), dim=-1)
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

    def _what(self, objects: Tensor, batch: PolicyBatch) -> Tensor:
        """An object's token tells its shape."""
        rows = batch.shapes != NOTHING
        if not rows.any():
            return objects.new_zeros(())
        return F.cross_entropy(self.what(objects[rows]).float(), batch.shapes[rows])

    def _match(self, scores: Tensor, batch: PolicyBatch) -> Tensor:
        """An object looks at the prompt's pictures of itself, and at the words that name its look.

        If there are none, at other words.
        """
        count = len(batch.prompt.words)
        rows, none = batch.prompt.rows, batch.objects.new_full((1 + count,), NOTHING)
        shown = torch.cat([none, batch.objects])[rows]  # (B, P)
        said = torch.cat([none[:1], batch.spoken, torch.full_like(batch.objects, NOTHING)])[rows]
        words = (rows > 0) & (rows <= count) & (said == NOTHING)
        # Blocks to sweep look alike, and one of them is pictured.
        sweeps = _of_tokens(batch.effectors, batch) == EndEffector.SPATULA  # (B, T)
        objects = _of_tokens(batch.objects, batch)
        loss = scores.new_zeros(())
        for head, (ours, theirs) in enumerate(
            ((objects, shown), (_of_tokens(batch.looks, batch), said))
        ):
            right = (ours[:, :, None] == theirs[:, None]) & (theirs != NOTHING)[:, None]
            lost = (objects != NOTHING) & ~sweeps & ~right.any(-1)
            loss = loss + _attended(scores[:, head], right | (lost[:, :, None] & words[:, None]))
        return loss

    def _choose(self, scores: Tensor, batch: PolicyBatch) -> Tensor:
        """The answer looks at what is picked, and at what that is placed on or into."""
        length = batch.mask.shape[1]
        seen = _of_tokens(batch.objects, batch)[batch.ask // length]  # (n, T)
        steps = _of_tokens(batch.step_of, batch)[batch.ask // length]
        now = steps == torch.arange(len(seen), device=seen.device)[:, None]
        wanted = torch.stack([batch.picked, batch.placed], 1)[:, :, None]  # (n, 2, 1)
        return _attended(scores, (seen[:, None] == wanted) & (wanted != NOTHING) & now[:, None])


@contextmanager
def _heard(layer: nn.Module) -> Iterator[list[Tensor]]:
    """What ``layer`` says meanwhile."""
    said: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _layer, _inputs, out: said.append(out))
    try:
        yield said
    finally:
        handle.remove()


def _attention(query: Tensor, keys: Tensor, heads: int) -> Tensor:
    """(B, T, E) and (B, H, S, E / H) to the scores (B, H, T, S) before the softmax."""
    return (split_heads(query, heads) @ keys.mT).float() / keys.shape[-1] ** 0.5


def _of_tokens(values: Tensor, batch: PolicyBatch) -> Tensor:
    """Of the slots (S,) to that of each token of the history (B, T); NOTHING where it is none."""
    actions = values.new_full((len(batch.fractions),), NOTHING)
    return torch.cat([values.new_full((1,), NOTHING), values, actions])[batch.tokens]


def _attended(scores: Tensor, right: Tensor) -> Tensor:
    """Mean of -log of the attention (..., K) on what is ``right``, where anything is."""
    rows = right.any(-1)
    if not rows.any():
        return scores.new_zeros(())
    scores, right = scores[rows], right[rows]
    return (scores.logsumexp(-1) - scores.masked_fill(~right, float("-inf")).logsumexp(-1)).mean()


def action_losses(
    logits: dict[str, Tensor], batch: PolicyBatch, smoothing: float
) -> dict[str, Tensor]:
    """Mean cross-entropy of each head's components, every episode of equal weight.

    ``smoothing``: a position's target is a bell of that width around its bin [bins]; 0: the bin.
    """
    losses, first = {}, 0
    for head, counts in HEAD_BINS.items():
        total = batch.weight.new_zeros(())
        for part in logits[head].float().split(counts, dim=-1):
            target = batch.bins[:, first]
            width = smoothing if "position" in head else 0.0
            loss = F.cross_entropy(part, _soft(target, part.shape[-1], width), reduction="none")
            total = total + (loss * batch.weight).sum() / batch.weight.sum()
            first += 1
        losses[head] = total / len(counts)
    return losses


def _soft(target: Tensor, count: int, width: float) -> Tensor:
    """(n,) to (n,) or, smoothed, (n, count) probabilities."""
    if width <= 0.0:
        return target
    distance = torch.arange(count, device=target.device) - target[:, None]
    return torch.softmax(-0.5 * (distance / width) ** 2, dim=-1)


def hits(logits: dict[str, Tensor], batch: PolicyBatch) -> dict[str, Tensor]:
    """(n,) bool, which actions are near enough: positions within 2 cm, rotations in the bins."""
    best = torch.cat(
        [
            torch.stack([part.argmax(-1) for part in logits[head].split(counts, dim=-1)], -1)
            for head, counts in HEAD_BINS.items()
        ],
        dim=-1,
    )  # (n, 12)
    off = (best - batch.bins).abs()
    bins = torch.tensor(BINS, device=off.device)
    assert bins.shape == off.shape[1:]
    near = {name: (off[:, [i, i + 1]] <= 2).all(1) for name, i in (("pose0", 0), ("pose1", 6))}
    turned = (off[:, 8:12] == 0).all(1)
    return {**near, "rotation": turned, "all": near["pose0"] & near["pose1"] & turned}


def _rows(values: Tensor, rows: Tensor) -> Tensor:
    """``values`` (N, ...) at ``rows``, where row 0 is a zero."""
    return torch.cat([values.new_zeros(1, *values.shape[1:]), values])[rows]
