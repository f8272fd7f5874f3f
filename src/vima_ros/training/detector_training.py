"""Training of the detector: on a GPU if there is one, else on the CPU; resumable at any time."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vima_ros.errors import VimaError
from vima_ros.perception.detectors.mask_rcnn import MaskRcnn
from vima_ros.training.detector_augmentation import augment, instance_targets
from vima_ros.training.detector_pictures import Source, draw
from vima_ros.training.detector_start import start_from
from vima_ros.training.runs import (
    CHECKPOINT,
    load_checkpoint,
    note_progress,
    save_checkpoint,
)


@dataclass(frozen=True)
class DetectorRecipe:
    """How the detector is trained.

    AdamW with ``learning_rate`` [1/step], warmed up over ``warmup`` steps, then falling as half a
    cosine to nothing at ``steps``. ``average``: decay of the moving average of the weights, which
    is what is exported. ``save_every``: steps between checkpoints.
    """

    steps: int = 10_000
    batch: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warmup: int = 300
    average: float = 0.998
    clip: float = 5.0
    seed: int = 0
    save_every: int = 250

    def rate(self, step: int) -> float:
        """Learning rate at ``step``."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        part = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(part, 1.0)))


@dataclass(frozen=True)
class DetectorProgress:
    """Means over the steps since the last report; ``pictures_per_s`` of this run."""

    step: int
    losses: dict[str, float]
    pictures_per_s: float

    @property
    def loss(self) -> float:
        """The sum of all losses."""
        return sum(self.losses.values())


def train_detector(
    sources: Sequence[Source],
    recipe: DetectorRecipe,
    folder: Path,
    report_every: int = 50,
    start: Path | None = None,
) -> Iterator[DetectorProgress]:
    """Train until ``recipe.steps``, from the checkpoint in ``folder`` where there is one.

    Where there is none it begins with the weights of ``start``, an exported detector, or anew.

    Every step draws its pictures from the recipe's seed and its own number: a run that was
    stopped and resumed sees what it would have seen. Raises VimaError (NO_DEMONSTRATIONS) for
    no pictures, (BAD_CHECKPOINT) for another network's checkpoint.
    """
    if not any(source.scenes for source in sources):
        raise VimaError("NO_DEMONSTRATIONS", "no pictures to train on")
    folder.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # A processor without AVX-512 imitates bfloat16: a step took 18 s instead of 2.4 s.
    short = device.type == "cuda" or torch.backends.cpu.get_cpu_capability() == "AVX512"
    torch.manual_seed(recipe.seed)
    model = MaskRcnn()
    if start is not None and not (folder / CHECKPOINT).exists():
        start_from(model, start, make_batch(sources, recipe, 0, torch.device("cpu"))[0])
    model.to(device).train()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as frames come
    averaged = AveragedModel(
        model, multi_avg_fn=get_ema_multi_avg_fn(recipe.average), use_buffers=True
    )
    optimizer = torch.optim.AdamW(
        model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    first = load_checkpoint(folder, model, averaged, optimizer)
    sums: dict[str, float] = {}
    began = time.monotonic()
    for step in range(first, recipe.steps):
        torch.manual_seed(recipe.seed * 1_000_003 + step)  # proposals are sampled
        frames, targets = make_batch(sources, recipe, step, device)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        with torch.autocast(device.type, torch.bfloat16, enabled=short):
            _, losses = model(frames, targets)
            total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        averaged.update_parameters(model)
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        done = step + 1
        if done % report_every == 0 or done == recipe.steps:
            speed = (done - first) * recipe.batch / (time.monotonic() - began)
            count = (step % report_every) + 1
            progress = DetectorProgress(done, {k: v / count for k, v in sums.items()}, speed)
            sums = {}
            note_progress(folder, {**asdict(progress), "loss": progress.loss})
            yield progress
        if done % recipe.save_every == 0 or done == recipe.steps:
            save_checkpoint(folder, done, model, averaged, optimizer)


def make_batch(
    sources: Sequence[Source], recipe: DetectorRecipe, step: int, device: torch.device
) -> tuple[torch.Tensor, list[dict[str, torch.Tensor]]]:
    """The frames and targets of ``step``, as ``MaskRcnn.forward`` takes them."""
    random = np.random.default_rng([recipe.seed, step])
    frames, targets = [], []
    for picture in draw(sources, recipe.batch, random):
        frame, mask = augment(*picture.decode(), random)
        boxes, masks = instance_targets(mask)
        frames.append(torch.from_numpy(frame))
        target = {
            "boxes": torch.from_numpy(boxes),
            "labels": torch.ones(len(boxes), dtype=torch.int64),
            "masks": torch.from_numpy(masks.view(np.uint8)),
        }
        targets.append({name: value.to(device) for name, value in target.items()})
    return torch.stack(frames).to(device), targets


def load_averaged(folder: Path) -> tuple[MaskRcnn, int]:
    """The network with the averaged weights of ``folder``'s checkpoint, on the CPU; its step.

    Raises VimaError (BAD_CHECKPOINT).
    """
    model, result = MaskRcnn(), MaskRcnn()
    averaged = AveragedModel(model, use_buffers=True)
    step = load_checkpoint(folder, model, averaged, None, needed=True)
    result.load_state_dict(averaged.module.state_dict())
    return result.eval(), step
