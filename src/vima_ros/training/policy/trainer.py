"""Behavior cloning of a VIMA policy on demonstrations."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vima_ros.errors import VimaError
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.network import VimaNetwork
from vima_ros.training.data_parallel import ALONE, Processes
from vima_ros.training.policy.action_loss import accuracy, action_losses
from vima_ros.training.policy.auxiliary_losses import PolicyWithAuxiliaryHeads
from vima_ros.training.policy.batch_source import BatchSource, Part, make_any_batch
from vima_ros.training.policy.color_augmentation import recolor
from vima_ros.training.policy.detection_noise import NO_NOISE
from vima_ros.training.policy.initialization import new_network
from vima_ros.training.policy.parameter_groups import parameter_groups
from vima_ros.training.policy.recipe import PolicyRecipe
from vima_ros.training.policy.training_episode import TrainingEpisode
from vima_ros.training.run_directory import load_checkpoint
from vima_ros.training.run_progress import Run, Schedule, seed_step

OBJECT_LOSSES = (  # beside the action's, where objects are read
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
IMAGE_LOSSES = ("position", "thumbnail")  # where whole images are
AUXILIARY_LOSSES = {*OBJECT_LOSSES, *IMAGE_LOSSES}


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
    processes: Processes = ALONE,
) -> Iterator[PolicyProgress]:
    """Train until ``recipe.steps``, from the checkpoint in ``folder`` where there is one.

    Where there is none it begins with ``start``, or with random weights. The random numbers of
    every step follow from the recipe's seed and the step's number: a run that was interrupted and
    resumed ends with the same weights as one in one go. ``workers``: processes that make batches.
    ``processes``: those that share each batch, which end with the weights of one alone, up to
    rounding; the first of them writes and yields.
    Raises VimaError: NO_DEMONSTRATIONS, BAD_CONFIG as ``BatchSource`` or where
    ``turn_first_steps`` have nothing to train, and as ``Run``.
    """
    if recipe.turn_first_steps and not config.turn_angles:
        raise VimaError(
            "BAD_CONFIG",
            f"turn_first_steps is {recipe.turn_first_steps} without turn_angles; valid: 0, or "
            "turn_angles of the network",
        )
    schedule = schedule or Schedule()
    device = processes.device
    torch.manual_seed(recipe.seed)
    network = new_network(config) if start is None else start
    source = BatchSource(episodes, recipe, network.image_tokens, processes)
    model = PolicyWithAuxiliaryHeads(network).to(device).train()
    averaged = AveragedModel(model)
    optimizer = torch.optim.AdamW(parameter_groups(model, recipe), recipe.learning_rate)
    run = Run(folder, recipe.steps, model, averaged, optimizer, schedule, processes.writes)
    goes_on, stopped = True, False
    while goes_on and run.step < run.end:
        for step, parts in enumerate(_loader(source, run, workers), run.step):
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * recipe.learning_rate_at(step)
            fits = _add_gradients(model, parts, recipe, step, source, run)
            flags = [schedule.stop(), not fits]
            processes.sum_gradients(list(model.parameters()), flags)
            stopped, too_large = flags
            if too_large:
                _halve_parts(source, recipe, schedule)
                break
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
            optimizer.step()
            averaged.multi_avg_fn = get_ema_multi_avg_fn(
                min(recipe.ema_decay, (1 + step) / (10 + step))
            )
            averaged.update_parameters(model)
            if run.ends_step() and processes.writes:
                speed = run.steps_per_s() * recipe.batch_size
                training, _ = measure(model, episodes, device, recipe.position_smoothing)
                average = cast(PolicyWithAuxiliaryHeads, averaged.module)
                shares, loss = measure(average, validation, device, recipe.position_smoothing)
                means = run.take_losses()
                progress = PolicyProgress(run.step, means, loss, training, shares, speed)
                run.report(asdict(progress))
                yield progress
            goes_on = run.goes_on(stopped)
            if not goes_on:
                break


def _loader(
    source: BatchSource, run: Run, workers: int
) -> torch.utils.data.DataLoader[Sequence[Part]]:
    """Load the batches from the run's step on."""
    return torch.utils.data.DataLoader(
        source,
        batch_size=None,
        sampler=range(run.step, run.end),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_ignore_signals,
    )


def _add_gradients(
    model: PolicyWithAuxiliaryHeads,
    parts: Sequence[Part],
    recipe: PolicyRecipe,
    step: int,
    source: BatchSource,
    run: Run,
) -> bool:
    """Compute the gradients of micro-batches; return False if one does not fit into memory."""
    device = next(model.parameters()).device
    weights = dict.fromkeys(AUXILIARY_LOSSES, recipe.auxiliary_weight)
    weights |= {"turn": recipe.turn_weight, "brightness": recipe.brightness_weight}
    weights |= {"first_place": recipe.first_place_weight, "other_picks": recipe.other_picks_weight}
    weights["next_frame"] = recipe.next_frame_weight
    half = device.type == "cuda" and recipe.precision == "bfloat16"
    model.zero_grad()
    try:
        for number, part in parts:
            seed_step(recipe.seed, step, number)
            batch = recolor(part.to(device), recipe.recolor_fraction)
            if recipe.repeated_move_weight != 1.0:
                more = torch.where(batch.repeated, recipe.repeated_move_weight, 1.0)
                batch = replace(batch, weight=batch.weight * more)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                if step < recipe.turn_first_steps:
                    losses = model.first_losses(batch)
                else:
                    losses = model.losses(batch, recipe.position_smoothing)
            weighted = [weights.get(name, 1.0) * loss for name, loss in losses.items()]
            (torch.stack(weighted).sum() / source.micro_batches).backward()
            run.add(losses)
    except torch.OutOfMemoryError:
        if recipe.micro_batches:  # a fixed number
            raise
        model.zero_grad()
        return False
    return True


def _halve_parts(source: BatchSource, recipe: PolicyRecipe, schedule: Schedule) -> None:
    """Split batches into twice as many parts. Raises OutOfMemoryError if that is not possible."""
    if 2 * source.micro_batches > recipe.batch_size:
        raise torch.OutOfMemoryError(
            f"{source.micro_batches} micro-batches of {recipe.batch_size} episodes do not fit "
            "into memory, and there cannot be twice as many"
        )
    source.micro_batches *= 2
    torch.cuda.empty_cache()
    schedule.log(f"does not fit into memory: now {source.micro_batches} micro-batches")


def _ignore_signals(worker: int) -> None:
    """Ignore signals that a terminal or a service manager sends to the whole group."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


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
    batch = make_any_batch(chosen, np.random.default_rng(0), noise, tokens).to(device)
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
