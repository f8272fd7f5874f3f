"""Losses of policy training: the actions' loss and auxiliary ones.

The action loss is the paper's (section 4): cross-entropy of twelve heads, with teacher forcing.
From actions alone, a small network learns for long only where objects usually are. So auxiliary
heads predict from object tokens where the object would be picked, where the prompt's scene shows
it, where it was first, its shape and its identity, and two attentions are supervised: of an object
to its images in the prompt, and of the action to the objects it is about. The heads are discarded
after training.
A network that reads whole images has no object tokens, and auxiliary losses of its own
(image_losses.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.heads import PlaceContext
from vima_ros.policy.model.network import VimaNetwork
from vima_ros.specs import (
    POLICY_FRAME_HEIGHT,
    POLICY_FRAME_WIDTH,
    POSITION_BINS,
    EndEffector,
)
from vima_ros.training.policy.action_loss import (
    action_losses,
    cross_entropies,
    position_cross_entropy,
)
from vima_ros.training.policy.batching import IN_SCENE, ObjectBatch, PolicyBatch
from vima_ros.training.policy.image_batching import WholeImageBatch
from vima_ros.training.policy.image_losses import ImageHeads
from vima_ros.training.policy.privileged_labels import NOTHING, SHAPE_NAMES

KEY_WIDTH = 64
OFFSET_BINS, MIN_OFFSET = (
    9,
    0.005,
)  # a centimeter each; what grasp_offsets less is picked amid it [m]
TEMPERATURE = 0.1  # of the identity loss
BRIGHTNESS_STEP = 16.0  # the shades of a texture and of its dark one are 17 or more apart
MAX_ANGLE_ERROR = 1.0  # of a turn that is one of the network's angles [deg]


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
        self.first_place_head = nn.Linear(width, sum(POSITION_BINS))
        self.brightness_head = nn.Linear(width, 1)
        self.next_frame_head = nn.Linear(width, sum(POSITION_BINS))
        self.image_heads = None if network.image_tokens is None else ImageHeads(config)

    def losses(self, batch: PolicyBatch, smoothing: float) -> dict[str, Tensor]:
        """Compute the action losses of each head and the auxiliary ones. See ``action_losses``.

        The auxiliary ones are of object tokens, or of image pairs where whole images are read.
        Those of attention, and the goal after it, are of a network whose layers attend to tokens.
        """
        if self.image_heads is not None:
            assert isinstance(batch, WholeImageBatch)
            outputs = self.network(batch)
            losses = action_losses(outputs.logits, batch, smoothing)
            return losses | self.image_heads.losses(outputs.objects, batch)
        assert isinstance(batch, ObjectBatch)
        first, last = 0, self.network.config.xf_n_layers - 1
        layers = (first, last) if self.network.attends_to_tokens else ()
        outputs = self.network(batch, score_layers=layers)
        losses = action_losses(outputs.logits, batch, smoothing)
        losses["position"] = self._position_loss(outputs.objects, batch)
        losses["grasp_offset"] = self._grasp_offset_loss(outputs.objects, batch)
        losses["identity"] = self._identity_loss(outputs.objects, batch)
        losses["brightness"] = self.brightness_loss(outputs.objects, batch)
        losses["shape"] = self._shape_loss(outputs.objects, batch)
        if self.network.turn_reader is not None:
            assert outputs.encoded is not None
            losses["turn"] = self.turn_loss(outputs.encoded, batch)
        if outputs.place is not None:
            losses["other_picks"] = self.other_picks_loss(outputs.place, batch, smoothing)
        attention = outputs.attention
        if attention is None:
            return losses
        # Scores (n, H, T) of the history, where the actions are read.
        action_scores = attention.history[last].transpose(1, 2).flatten(0, 1)[batch.reads]
        losses["goal"] = self.goal_loss(attention.informed, batch)
        losses["first_place"] = self.first_place_loss(attention.informed, batch)
        losses["next_frame"] = self.next_frame_loss(attention.informed, batch)
        losses["prompt_attention"] = self.prompt_attention_loss(attention.prompt[first], batch)
        losses["action_attention"] = self.action_attention_loss(action_scores[:, :2], batch)
        return losses

    def turn_loss(self, objects: Tensor, batch: ObjectBatch) -> Tensor:
        """Read the angles of pairs of frames, of those that are one of ``turn_angles``.

        ``objects`` (N, E): all slots as the object encoder has them.
        """
        rows, targets = known_turns(batch, self.network.config.turn_angles)
        logits = self.network.read_turns(batch.prompt, objects) if len(rows) else None
        if logits is None:
            return objects.new_zeros(())
        return F.cross_entropy(logits[rows].float(), targets)

    @torch.no_grad()
    def turn_accuracy(self, objects: Tensor | None, batch: PolicyBatch) -> dict[str, float]:
        """Return the share of known pairs of frames whose angle is read, "turn"; {} of none."""
        if self.network.turn_reader is None or objects is None:
            return {}
        assert isinstance(batch, ObjectBatch)
        rows, targets = known_turns(batch, self.network.config.turn_angles)
        logits = self.network.read_turns(batch.prompt, objects) if len(rows) else None
        if logits is None:
            return {}
        return {"turn": float((logits[rows].argmax(-1) == targets).float().mean())}

    def first_losses(self, batch: PolicyBatch) -> dict[str, Tensor]:
        """Compute the loss of the turns alone, without the rest of the network."""
        assert isinstance(batch, ObjectBatch)
        return {"turn": self.turn_loss(self.network.object_encoder(batch.slots), batch)}

    def _position_loss(self, objects: Tensor, batch: ObjectBatch) -> Tensor:
        """Predict from an object's token the bins of the workspace where it would be picked."""
        rows = (batch.objects != NOTHING) & (batch.step_of >= 0)
        return position_cross_entropy(self.position_head(objects[rows]), batch.grasps[rows])

    def goal_loss(self, informed: Tensor, batch: ObjectBatch) -> Tensor:
        """Predict from an object's token, after the prompt, its position in the prompt's scene.

        Where one scene does.
        """
        slots, known = batch.slots, batch.objects + 1  # 0: none
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
        return position_cross_entropy(self.goal_head(informed[rows]), middles[which[rows]])

    def first_place_loss(self, informed: Tensor, batch: ObjectBatch) -> Tensor:
        """Predict from an object's token where it was first, if it is to come back there."""
        return _place_loss(self.first_place_head, informed, batch.first_places, batch)

    def next_frame_loss(self, informed: Tensor, batch: ObjectBatch) -> Tensor:
        """Predict from an object's token where the prompt's next frame shows it."""
        return _place_loss(self.next_frame_head, informed, batch.next_places, batch)

    def other_picks_loss(
        self, place: PlaceContext, batch: ObjectBatch, smoothing: float
    ) -> Tensor:
        """Compute the place's loss of picks that were not demonstrated, of both of its heads.

        Each counts as much as a demonstrated one of its episode.
        """
        assert self.network.place_head is not None
        actions, total = batch.other_actions, batch.weight.sum()
        place = place._replace(reads=place.reads[actions])
        logits = self.network.place_head(place, batch.other_tokens)
        bins, weight = batch.bins[batch.other_places], batch.weight[actions]
        losses = cross_entropies(logits, bins, weight, total, smoothing)
        return torch.stack([*losses.values()]).sum()

    def _grasp_offset_loss(self, objects: Tensor, batch: ObjectBatch) -> Tensor:
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

    def _identity_loss(self, objects: Tensor, batch: ObjectBatch) -> Tensor:
        """Contrast objects: tokens of one, in all views, steps and the prompt, are similar.

        Those of others are not: with all others of the episode as alternatives, for objects of
        other episodes look different enough to teach little (SupCon, Khosla et al., NeurIPS 2020).
        With k tokens of one object it falls to log(k - 1), not to 0.
        """
        rows = torch.nonzero(batch.objects != NOTHING)[:, 0]
        which = batch.objects[rows]
        episode = batch.episode_of[batch.slots.crop_rows[rows]]
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

    def _shape_loss(self, objects: Tensor, batch: ObjectBatch) -> Tensor:
        """Predict the shape from an object's token."""
        rows = batch.shapes != NOTHING
        if not rows.any():
            return objects.new_zeros(())
        return F.cross_entropy(self.shape_head(objects[rows]).float(), batch.shapes[rows])

    def brightness_loss(self, objects: Tensor, batch: ObjectBatch) -> Tensor:
        """Predict from an object's token how bright its crop is, in steps of BRIGHTNESS_STEP."""
        bright = brightness(batch.slots.crops)[batch.slots.crop_rows]
        rows = batch.slots.mask & bright.isfinite()
        if not rows.any():
            return objects.new_zeros(())
        predicted = self.brightness_head(objects[rows])[:, 0].float()
        return F.smooth_l1_loss(predicted, bright[rows] / BRIGHTNESS_STEP)

    def prompt_attention_loss(self, scores: Tensor, batch: ObjectBatch) -> Tensor:
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
        sweeps = _gather_tokens(batch.end_effectors, batch) == EndEffector.SPATULA  # (B, T)
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

    def action_attention_loss(self, scores: Tensor, batch: ObjectBatch) -> Tensor:
        """Supervise the action's attention to the picked object and its target object."""
        length = batch.rows.shape[1]
        objects = _gather_tokens(batch.objects, batch)[batch.reads // length]  # (n, T)
        steps = _gather_tokens(batch.step_of, batch)[batch.reads // length]
        now = steps == torch.arange(len(objects), device=objects.device)[:, None]
        wanted = torch.stack([batch.picked, batch.placed], 1)[:, :, None]  # (n, 2, 1)
        return _attention_loss(
            scores, (objects[:, None] == wanted) & (wanted != NOTHING) & now[:, None]
        )


def brightness(crops: Tensor) -> Tensor:
    """Compute the mean brightest channel (K,) of crops uint8 (K, 3, 32, 32), 0 to 255.

    Of the pixels that are not black, as the padding around an object is; NaN where all are.
    """
    brightest = crops.amax(1).flatten(1).float()  # (K, 1024)
    return brightest.sum(1) / (brightest > 0).sum(1)


def known_turns(batch: ObjectBatch, angles: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the rows of ``batch.turned`` that are one of ``angles`` [deg], and which."""
    away = batch.turned[:, None] - torch.tensor(angles, device=batch.turned.device)
    right = (torch.remainder(away + 180.0, 360.0) - 180.0).abs() < MAX_ANGLE_ERROR  # (n, C)
    rows = torch.nonzero(right.any(-1))[:, 0]
    return rows, right[rows].int().argmax(-1)


def _place_loss(head: nn.Module, informed: Tensor, places: Tensor, batch: ObjectBatch) -> Tensor:
    """Predict ``places`` (S, 2) of slots, where known, from tokens (B, T, E) of the history."""
    slots = (batch.rows <= len(batch.step_of)) * batch.rows  # (B, T), 0: none
    known = torch.cat([torch.full_like(places[:1], torch.nan), places])[slots]
    rows = known.isfinite().all(-1)
    if not rows.any():
        return informed.new_zeros(())
    return position_cross_entropy(head(informed[rows]), known[rows])


def _gather_tokens(values: Tensor, batch: ObjectBatch) -> Tensor:
    """Gather slots' values (S,) by token of the history (B, T); NOTHING for other tokens."""
    actions = values.new_full((len(batch.fractions),), NOTHING)
    return torch.cat([values.new_full((1,), NOTHING), values, actions])[batch.rows]


def _attention_loss(scores: Tensor, right: Tensor) -> Tensor:
    """Compute the mean -log of the attention (..., K) on the ``right`` keys, where any exist."""
    rows = right.any(-1)
    if not rows.any():
        return scores.new_zeros(())
    scores, right = scores[rows], right[rows]
    return (scores.logsumexp(-1) - scores.masked_fill(~right, float("-inf")).logsumexp(-1)).mean()
