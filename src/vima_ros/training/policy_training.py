"""Behaviour cloning of a VIMA policy on demonstrations."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vima_ros.policy.config import VimaConfig
from vima_ros.policy.network import VimaNetwork
from vima_ros.training.policy_actions import hits
from vima_ros.training.policy_augmentation import recolour
from vima_ros.training.policy_batches import PolicyBatch, Spoiling, make_batch
from vima_ros.training.policy_clues import NOTHING
from vima_ros.training.policy_episodes import Picture, TrainingEpisode
from vima_ros.training.policy_losses import LEAST_LEAN, Learner
from vima_ros.training.policy_scattering import scattered
from vima_ros.training.policy_start import new_network
from vima_ros.training.runs import (
    load_checkpoint,
    note_progress,
    save_checkpoint,
)

# Losses that are not the action's.
HELPING = ("where", "goal", "lean", "who", "what", "match", "choose")


@dataclass(frozen=True)
class PolicyRecipe:
    """How it is trained.

    ``steps`` of ``batch`` episodes in ``parts`` of like length; a task is drawn as often as any
    other, or ``emphasis`` times as often; of its episodes those that first pick a concave object,
    beside its middle, ``concave`` times as often. The rate rises over ``warm_up`` steps to
    ``learning_rate`` and falls by a cosine to a hundredth. ``average``: of the weights that are
    kept. ``smoothing``: of the position targets [bins]. ``help``: weight of each loss but the
    action's. ``colours``: share of the episodes that are recoloured, ``scatter``: of those whose
    objects are put elsewhere, where that can be.
    """

    steps: int = 20_000
    batch: int = 64
    parts: int = 2
    emphasis: Mapping[str, float] = field(default_factory=dict)
    concave: float = 1.0
    learning_rate: float = 1e-3
    warm_up: int = 500
    weight_decay: float = 0.01
    average: float = 0.999
    clip: float = 1.0
    smoothing: float = 0.7
    help: float = 1.0
    colours: float = 0.5
    scatter: float = 0.9
    spoiling: Spoiling = field(default_factory=Spoiling)
    seed: int = 0
    save_every: int = 500

    def rate(self, step: int) -> float:
        """Learning rate of ``step``."""
        if step < self.warm_up:
            return self.learning_rate * (step + 1) / self.warm_up
        part = (step - self.warm_up) / max(self.steps - self.warm_up, 1)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(part, 1.0))))


@dataclass(frozen=True)
class PolicyProgress:
    """After ``step`` steps: mean losses since the last, and shares of actions near enough.

    ``unseen``: the same shares on episodes kept apart. ``episodes_per_s``.
    """

    step: int
    losses: Mapping[str, float]
    hits: Mapping[str, float]
    unseen: Mapping[str, float]
    episodes_per_s: float


def train_policy(
    episodes: Sequence[TrainingEpisode],
    unseen: Sequence[TrainingEpisode],
    config: VimaConfig,
    recipe: PolicyRecipe,
    folder: Path,
    report_every: int = 100,
    start: VimaNetwork | None = None,
    workers: int = 0,
) -> Iterator[PolicyProgress]:
    """Train until ``recipe.steps``, from the checkpoint in ``folder`` where there is one.

    Where there is none it begins with ``start``, or with random weights. Every step draws its
    episodes from the recipe's seed and its own number: a run that was stopped and resumed sees
    what it would have seen. ``workers``: processes that make batches. Raises VimaError
    (BAD_CHECKPOINT) for another network's checkpoint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(recipe.seed)
    learner = Learner(new_network(config) if start is None else start).to(device).train()
    averaged = AveragedModel(learner)
    optimizer = torch.optim.AdamW(_groups(learner, recipe.weight_decay), recipe.learning_rate)
    first = load_checkpoint(folder, learner, averaged, optimizer)
    batches = torch.utils.data.DataLoader(
        _Batches(episodes, recipe),
        batch_size=None,
        sampler=range(first, recipe.steps),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
    )
    sums: dict[str, float] = defaultdict(float)
    began = time.monotonic()
    for step, parts in enumerate(batches, first):
        torch.manual_seed(recipe.seed * 1_000_003 + step)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        optimizer.zero_grad()
        done = step + 1
        for part in parts:
            batch = recolour(part.to(device), recipe.colours)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                losses = learner.losses(batch, recipe.smoothing)
            weighted = [
                (recipe.help if name in HELPING else 1.0) * loss for name, loss in losses.items()
            ]
            (torch.stack(weighted).sum() / len(parts)).backward()
            if device.type == "cpu" or done % 10 == 0:  # a GPU is not waited for at every step
                for name, value in losses.items():
                    sums[name] += float(value.detach())
                sums[""] += 1.0
        torch.nn.utils.clip_grad_norm_(learner.parameters(), recipe.clip)
        optimizer.step()
        averaged.multi_avg_fn = get_ema_multi_avg_fn(min(recipe.average, (1 + step) / (10 + step)))
        averaged.update_parameters(learner)
        if done % report_every == 0 or done == recipe.steps:
            speed = (done - first) * recipe.batch / (time.monotonic() - began)
            count = sums.pop("", 1.0)
            progress = PolicyProgress(
                done,
                {name: value / count for name, value in sums.items()},
                measure(learner, episodes, device),
                measure(averaged.module, unseen, device),  # type: ignore[arg-type]
                speed,
            )
            sums.clear()
            note_progress(folder, asdict(progress))
            yield progress
        if done % recipe.save_every == 0 or done == recipe.steps:
            save_checkpoint(folder, done, learner, averaged, optimizer)


class _Batches(torch.utils.data.Dataset):
    """The batch of each step."""

    def __init__(self, episodes: Sequence[TrainingEpisode], recipe: PolicyRecipe) -> None:
        self._recipe = recipe
        self._tasks: dict[str, list[TrainingEpisode]] = {}
        for episode in episodes:
            self._tasks.setdefault(episode.task, []).append(episode)
        self._often = {
            task: np.array([recipe.concave if _leans(e) else 1.0 for e in of_task])
            for task, of_task in self._tasks.items()
        }

    def __len__(self) -> int:
        return self._recipe.steps

    def __getitem__(self, step: int) -> list[PolicyBatch]:
        """A task for each episode, then one of its episodes; in parts, the short ones first.

        A batch is as long as its longest episode.
        """
        random = np.random.default_rng([self._recipe.seed, step])
        names = sorted(self._tasks)
        chosen = []
        shares = np.array([self._recipe.emphasis.get(name, 1.0) for name in names])
        for number in random.choice(len(names), self._recipe.batch, p=shares / shares.sum()):
            often = self._often[names[number]]
            one = random.choice(len(often), p=often / often.sum())
            chosen.append(self._tasks[names[number]][one])
        if self._recipe.scatter:
            keep = random.random(len(chosen)) >= self._recipe.scatter
            chosen = [
                episode if stays else scattered(episode, random)
                for episode, stays in zip(chosen, keep, strict=True)
            ]
        chosen.sort(key=lambda e: sum(map(_length, e.moments)) + _prompt_length(e))
        ends = np.linspace(0, len(chosen), self._recipe.parts + 1).astype(int)
        return [make_batch(chosen[i:j], random, self._recipe.spoiling) for i, j in pairwise(ends)]


def _leans(episode: TrainingEpisode) -> bool:
    """Whether what is picked first is picked beside its middle."""
    which = episode.picked[0]
    return which != NOTHING and bool(np.linalg.norm(episode.leans[0, which]) > LEAST_LEAN)


def _length(picture: Picture) -> int:
    return sum(len(view.crops) for view in picture)


def _prompt_length(episode: TrainingEpisode) -> int:
    return sum(1 if t >= 0 else _length(episode.pictures[~t]) for t in episode.prompt)


@torch.no_grad()
def measure(
    learner: Learner, episodes: Sequence[TrainingEpisode], device: torch.device, most: int = 256
) -> dict[str, float]:
    """Shares of ``hits`` on ``most`` of ``episodes``, as they were recorded.

    By kind, and of all kinds together by task.
    """
    if not episodes:
        return {}
    chosen = episodes[:: max(len(episodes) // most, 1)][:most]
    batch = make_batch(chosen, np.random.default_rng(0), Spoiling(0.0, 0.0, 0.0)).to(device)
    learner.eval()
    near = hits(learner.answer(batch).logits, batch)
    learner.train()
    shares = {name: float(share.float().mean()) for name, share in near.items()}
    of_task = np.repeat([e.task for e in chosen], [len(e.bins) for e in chosen])
    right = near["all"].cpu().numpy()
    return shares | {
        str(task): float(right[of_task == task].mean()) for task in sorted(set(of_task))
    }


def load_averaged(folder: Path, config: VimaConfig) -> tuple[VimaNetwork, int]:
    """The network with the averaged weights of ``folder``'s checkpoint, on the CPU; its step.

    Raises VimaError (BAD_CHECKPOINT).
    """
    learner = Learner(new_network(config))
    averaged = AveragedModel(learner)
    step = load_checkpoint(folder, learner, averaged, None, needed=True)
    network = new_network(config)
    network.load_state_dict(averaged.module.network.state_dict())  # type: ignore[union-attr]
    return network.eval(), step


def _groups(learner: Learner, weight_decay: float) -> list[dict]:
    """Biases, norms and tables are not drawn to zero."""
    matrices: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    for name, parameter in learner.named_parameters():
        plain = parameter.ndim < 2 or "embed" in name or "word_table" in name
        (others if plain else matrices).append(parameter)
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
