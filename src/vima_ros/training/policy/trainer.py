"""Behavior cloning of a VIMA policy on demonstrations."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vima_ros.errors import VimaError
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.network import VimaNetwork
from vima_ros.training.policy.action_loss import accuracy, action_losses
from vima_ros.training.policy.auxiliary_losses import MIN_OFFSET, PolicyWithAuxiliaryHeads
from vima_ros.training.policy.batching import PolicyBatch, make_batch
from vima_ros.training.policy.color_augmentation import recolor
from vima_ros.training.policy.detection_noise import NO_NOISE, DetectionNoise
from vima_ros.training.policy.example_recombination import ExampleBank
from vima_ros.training.policy.image_batching import make_image_batch
from vima_ros.training.policy.initialization import new_network
from vima_ros.training.policy.layout_augmentation import randomize_layout
from vima_ros.training.policy.parameter_groups import parameter_groups
from vima_ros.training.policy.privileged_labels import NOTHING
from vima_ros.training.policy.recipe import PolicyRecipe
from vima_ros.training.policy.training_episode import TrainingEpisode
from vima_ros.training.policy.visible_objects import ViewPair
from vima_ros.training.run_directory import load_checkpoint
from vima_ros.training.run_progress import Run, Schedule, seed_step

AUXILIARY_LOSSES = (  # beside the action's
    "position",
    "goal",
    "first_place",
    "next_frame",
    "grasp_offset",
    "identity",
    "brightness",
    "shape",
    "prompt_attention",
    "action_attention",
)


@dataclass(frozen=True)
class PolicyProgress:
    """Progress of a run after ``step`` steps.

    ``losses``: mean training losses since the last report. ``validation_losses``: the action's, on
    episodes not trained on, by the averaged weights. ``training``, ``validation``: accuracies on
    episodes as they were recorded (``accuracy``), by kind and by task. ``episodes_per_s``.
    """

    step: int
    losses: Mapping[str, float]
    validation_losses: Mapping[str, float]
    training: Mapping[str, float]
    validation: Mapping[str, float]
    episodes_per_s: float


def train_policy(
    episodes: Sequence[TrainingEpisode],
    validation: Sequence[TrainingEpisode],
    config: VimaConfig,
    recipe: PolicyRecipe,
    folder: Path,
    schedule: Schedule | None = None,
    start: VimaNetwork | None = None,
    workers: int = 0,
) -> Iterator[PolicyProgress]:
    """Train until ``recipe.steps``, from the checkpoint in ``folder`` where there is one.

    Where there is none it begins with ``start``, or with random weights. The random numbers of
    every step follow from the recipe's seed and the step's number: a run that was interrupted and
    resumed ends with the same weights as one in one go. ``workers``: processes that make batches.
    Raises VimaError: NO_DEMONSTRATIONS, BAD_CONFIG where ``task_weights`` leaves no task or
    ``turn_first_steps`` have nothing to train, and as ``Run``.
    """
    if recipe.turn_first_steps and not config.turn_angles:
        raise VimaError(
            "BAD_CONFIG",
            f"turn_first_steps is {recipe.turn_first_steps} without turn_angles; valid: 0, or "
            "turn_angles of the network",
        )
    schedule = schedule or Schedule()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(recipe.seed)
    network = new_network(config) if start is None else start
    batch_source = _Batches(episodes, recipe, network.image_tokens)
    model = PolicyWithAuxiliaryHeads(network).to(device).train()
    averaged = AveragedModel(model)
    optimizer = torch.optim.AdamW(parameter_groups(model, recipe), recipe.learning_rate)
    run = Run(folder, recipe.steps, model, averaged, optimizer, schedule)
    batches = torch.utils.data.DataLoader(
        batch_source,
        batch_size=None,
        sampler=range(run.step, run.end),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_ignore_signals,
    )
    weights = dict.fromkeys(AUXILIARY_LOSSES, recipe.auxiliary_weight)
    weights |= {"turn": recipe.turn_weight, "brightness": recipe.brightness_weight}
    weights |= {"first_place": recipe.first_place_weight, "other_picks": recipe.other_picks_weight}
    weights["next_frame"] = recipe.next_frame_weight
    for step, parts in enumerate(batches, run.step):
        seed_step(recipe.seed, step)
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * recipe.learning_rate_at(step)
        optimizer.zero_grad()
        for part in parts:
            batch = recolor(part.to(device), recipe.recolor_fraction)
            if recipe.repeated_move_weight != 1.0:
                more = torch.where(batch.repeated, recipe.repeated_move_weight, 1.0)
                batch = replace(batch, weight=batch.weight * more)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                if step < recipe.turn_first_steps:
                    losses = model.first_losses(batch)
                else:
                    losses = model.losses(batch, recipe.position_smoothing)
            weighted = [weights.get(name, 1.0) * loss for name, loss in losses.items()]
            (torch.stack(weighted).sum() / len(parts)).backward()
            run.add(losses)
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
        optimizer.step()
        averaged.multi_avg_fn = get_ema_multi_avg_fn(
            min(recipe.ema_decay, (1 + step) / (10 + step))
        )
        averaged.update_parameters(model)
        if run.ends_step():
            speed = run.steps_per_s() * recipe.batch_size
            training, _ = measure(model, episodes, device, recipe.position_smoothing)
            average = cast(PolicyWithAuxiliaryHeads, averaged.module)
            accuracy, loss = measure(average, validation, device, recipe.position_smoothing)
            progress = PolicyProgress(run.step, run.take_losses(), loss, training, accuracy, speed)
            run.report(asdict(progress))
            yield progress
        if not run.goes_on():
            break


def _ignore_signals(worker: int) -> None:
    """Ignore signals that a terminal or a service manager sends to the whole group."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


class _Batches(torch.utils.data.Dataset):
    """Dataset of the batch of each step."""

    def __init__(
        self,
        episodes: Sequence[TrainingEpisode],
        recipe: PolicyRecipe,
        image_tokens: int | None,
    ) -> None:
        self._recipe, self._image_tokens = recipe, image_tokens
        self._tasks: dict[str, list[TrainingEpisode]] = {}
        for episode in episodes:
            self._tasks.setdefault(episode.task, []).append(episode)
        if not episodes:
            raise VimaError("NO_DEMONSTRATIONS", "no episodes to train on; valid: 1 or more")
        if not any(recipe.task_weights.get(task, 1.0) for task in self._tasks):
            raise VimaError(
                "BAD_CONFIG",
                f"task_weights is 0 for all tasks of the data; valid: above 0 for one of "
                f"{', '.join(sorted(self._tasks))}",
            )
        self._turning = [task for task, of_task in self._tasks.items() if _shows_turns(of_task[0])]
        if recipe.turn_first_steps and not self._turning:
            raise VimaError(
                "BAD_CONFIG",
                f"turn_first_steps is {recipe.turn_first_steps}, and no task has pairs "
                "of frames; valid: 0, or demonstrations of twist",
            )
        self._examples = ExampleBank(episodes) if recipe.recombine_fraction else None
        self._often = {
            task: np.array(
                [recipe.offset_grasp_weight if _is_offset_grasp(e) else 1.0 for e in of_task]
            )
            for task, of_task in self._tasks.items()
        }

    def __len__(self) -> int:
        return self._recipe.steps

    def __getitem__(self, step: int) -> list[PolicyBatch]:
        """Draw a task for each episode, then an episode; split them into micro-batches by length.

        A batch is as long as its longest episode.
        """
        random = np.random.default_rng([self._recipe.seed, step])
        first = step < self._recipe.turn_first_steps
        names = sorted(self._turning if first else self._tasks)
        chosen = []
        shares = np.array([self._recipe.task_weights.get(name, 1.0) for name in names])
        if first:  # all alike: the rest of the network, which the weights are for, is not trained
            shares = np.ones(len(names))
        for number in random.choice(len(names), self._recipe.batch_size, p=shares / shares.sum()):
            often = self._often[names[number]]
            one = random.choice(len(often), p=often / often.sum())
            chosen.append(self._tasks[names[number]][one])
        if self._examples is not None:
            chosen = [
                self._examples.recombine(episode, random)
                if random.random() < self._recipe.recombine_fraction
                else episode
                for episode in chosen
            ]
        if self._recipe.layout_fraction:
            keep = random.random(len(chosen)) >= self._recipe.layout_fraction
            chosen = [
                episode if stays else randomize_layout(episode, random)
                for episode, stays in zip(chosen, keep, strict=True)
            ]
        noise, tokens = self._recipe.detection_noise, self._image_tokens
        chosen.sort(key=lambda episode: _token_count(episode, tokens))
        ends = np.linspace(0, len(chosen), self._recipe.micro_batches + 1).astype(int)
        return [_make_batch(chosen[i:j], random, noise, tokens) for i, j in pairwise(ends)]


def _make_batch(
    episodes: Sequence[TrainingEpisode],
    random: np.random.Generator,
    noise: DetectionNoise,
    image_tokens: int | None,
) -> PolicyBatch:
    """Build a batch of whole images, or of objects where ``image_tokens`` is None."""
    if image_tokens is None:
        return make_batch(episodes, random, noise)
    return make_image_batch(episodes, image_tokens)


def _shows_turns(episode: TrainingEpisode) -> bool:
    """Return whether a prompt has frames of single objects whose turn is known."""
    return int(np.isfinite([episode.yaws[scene] for scene in episode.scenes]).sum()) > 1


def _is_offset_grasp(episode: TrainingEpisode) -> bool:
    """Return whether the first pick is beside its object's center."""
    which = episode.picked[0]
    return which != NOTHING and bool(np.linalg.norm(episode.grasp_offsets[0, which]) > MIN_OFFSET)


def _token_count(episode: TrainingEpisode, image_tokens: int | None) -> int:
    """Count the tokens of prompt and history, padding and actions left out."""
    shown = [episode.images[~token] for token in episode.prompt if token < 0]
    pairs: list[ViewPair] = [*shown, *episode.timesteps]
    words = len(episode.prompt) - len(shown)
    return words + sum(image_tokens or sum(len(view.crops) for view in pair) for pair in pairs)


@torch.no_grad()
def measure(
    model: PolicyWithAuxiliaryHeads,
    episodes: Sequence[TrainingEpisode],
    device: torch.device,
    smoothing: float,
    most: int = 256,
) -> tuple[dict[str, float], dict[str, float]]:
    """Measure accuracies and action losses on at most ``most`` of ``episodes``, as recorded.

    Accuracies are shares of ``accuracy`` by kind, and of all kinds together by task.
    """
    if not episodes:
        return {}, {}
    chosen = episodes[:: max(len(episodes) // most, 1)][:most]
    noise, tokens = NO_NOISE, model.network.image_tokens
    batch = _make_batch(chosen, np.random.default_rng(0), noise, tokens).to(device)
    model.eval()
    outputs = model.network(batch)
    logits = outputs.logits
    model.train()
    near = accuracy(logits, batch)
    shares = {name: float(share.float().mean()) for name, share in near.items()}
    shares |= model.turn_accuracy(outputs.encoded, batch)
    of_task = np.repeat([e.task for e in chosen], [len(e.bins) for e in chosen])
    right = near["all"].cpu().numpy()
    shares |= {str(task): float(right[of_task == task].mean()) for task in sorted(set(of_task))}
    losses = action_losses(logits, batch, smoothing)
    return shares, {name: float(loss) for name, loss in losses.items()}


def load_averaged(folder: Path, config: VimaConfig) -> tuple[VimaNetwork, int]:
    """Load the network with the averaged weights of ``folder``'s checkpoint, and its step.

    Raises VimaError (BAD_CHECKPOINT).
    """
    model = PolicyWithAuxiliaryHeads(new_network(config))
    averaged = AveragedModel(model)
    step, _ = load_checkpoint(folder, model, averaged, None, needed=True)
    network = new_network(config)
    network.load_state_dict(averaged.module.network.state_dict())  # type: ignore[union-attr]
    return network.eval(), step
