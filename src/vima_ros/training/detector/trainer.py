"""Training of the detector on a GPU or the CPU; resumable at any time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vima_ros.boxes import iou
from vima_ros.errors import VimaError
from vima_ros.perception.detectors.mask_rcnn import MaskRcnn
from vima_ros.training.detector.augmentation import augment, instance_targets
from vima_ros.training.detector.dataset import EncodedImage, ImageSource, draw
from vima_ros.training.detector.recipe import DetectorRecipe
from vima_ros.training.detector.warm_start import start_from
from vima_ros.training.evaluation.detector_metrics import match
from vima_ros.training.run_directory import CHECKPOINT, load_checkpoint
from vima_ros.training.run_progress import Run, Schedule, seed_step

MEASURED = 24  # images [each of those trained on and of the others]
MIN_SCORE = 0.5  # of what counts as found


@dataclass(frozen=True)
class DetectorProgress:
    """Progress of a run after ``step`` steps.

    ``losses``: means since the last report. ``training``, ``validation``: accuracies on images
    as they were recorded (``measure``), the latter by the averaged weights on images not trained
    on. ``images_per_s``.
    """

    step: int
    losses: dict[str, float]
    training: dict[str, float]
    validation: dict[str, float]
    images_per_s: float

    @property
    def loss(self) -> float:
        """Sum of all losses."""
        return sum(self.losses.values())


def train_detector(
    sources: Sequence[ImageSource],
    recipe: DetectorRecipe,
    folder: Path,
    schedule: Schedule | None = None,
    start: Path | None = None,
) -> Iterator[DetectorProgress]:
    """Train until ``recipe.steps``, from the checkpoint in ``folder`` where there is one.

    Where there is none it begins with the weights of ``start``, an exported detector, or anew.

    The random numbers of every step follow from the recipe's seed and the step's number: a run
    that was interrupted and resumed ends with the same weights as one in one go. Raises VimaError:
    NO_DEMONSTRATIONS for no images, and as ``Run`` and ``start_from``.
    """
    schedule = schedule or Schedule()
    if not any(source.scenes for source in sources):
        raise VimaError("NO_DEMONSTRATIONS", "no images to train on")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # A processor without AVX-512 emulates bfloat16, several times slower than float32.
    short = device.type == "cuda" or torch.backends.cpu.get_cpu_capability() == "AVX512"
    torch.manual_seed(recipe.seed)
    model = MaskRcnn()
    if start is not None and not (folder / CHECKPOINT).exists():
        frames, _ = make_batch(sources, recipe, 0, torch.device("cpu"))
        schedule.log(start_from(model, start, frames).describe(start))
    model.to(device).train()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as frames come
    averaged = AveragedModel(
        model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema_decay), use_buffers=True
    )
    optimizer = torch.optim.AdamW(
        model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    run = Run(folder, recipe.steps, model, averaged, optimizer, schedule)
    trained_on = [image for source in sources for image in source.scenes]
    others = [image for source in sources for image in source.validation]
    for step in range(run.step, recipe.steps):
        seed_step(recipe.seed, step)  # proposals are sampled
        frames, targets = make_batch(sources, recipe, step, device)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate_at(step)
        with torch.autocast(device.type, torch.bfloat16, enabled=short):
            _, losses = model(frames, targets)
            total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
        optimizer.step()
        averaged.update_parameters(model)
        run.add({name.removeprefix("loss_"): loss for name, loss in losses.items()})
        if run.ends_step():
            speed = run.steps_per_s() * recipe.batch_size
            progress = DetectorProgress(
                run.step,
                run.take_losses(),
                measure(model, trained_on, device),
                measure(averaged.module, others, device),
                speed,
            )
            run.report({**asdict(progress), "loss": progress.loss})
            yield progress
        if not run.goes_on():
            break


@torch.no_grad()
def measure(
    model: torch.nn.Module, images: Sequence[EncodedImage], device: torch.device
) -> dict[str, float]:
    """Measure recall and precision on validation frames.

    Found is what scores ``MIN_SCORE`` or more; it is a true object where their boxes have an IoU
    of 0.5 or more, one to one. On at most ``MEASURED`` of ``images``.
    """
    chosen = images[:: max(len(images) // MEASURED, 1)][:MEASURED]
    if not chosen:
        return {}
    true = found = both = 0
    was_training = model.training
    model.eval()
    for image in chosen:  # one at a time: little memory
        frame, mask = image.decode()
        boxes = instance_targets(mask)[0]
        result = model(torch.from_numpy(frame)[None].to(device))[0][0]
        kept = result["boxes"][result["scores"] >= MIN_SCORE].float().cpu().numpy()
        true, found = true + len(boxes), found + len(kept)
        both += int(match(iou(boxes, kept)).sum())
    model.train(was_training)
    return {"recall": both / max(true, 1), "precision": both / max(found, 1)}


def make_batch(
    sources: Sequence[ImageSource], recipe: DetectorRecipe, step: int, device: torch.device
) -> tuple[torch.Tensor, list[dict[str, torch.Tensor]]]:
    """Make the frames and targets of ``step``, as ``MaskRcnn.forward`` takes them."""
    random = np.random.default_rng([recipe.seed, step])
    frames, targets = [], []
    for image in draw(sources, recipe.batch_size, random):
        frame, mask = augment(*image.decode(), random)
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
    """Load the network with the averaged weights of ``folder``'s checkpoint, and its step.

    Raises VimaError (BAD_CHECKPOINT).
    """
    model, result = MaskRcnn(), MaskRcnn()
    averaged = AveragedModel(model, use_buffers=True)
    step, _ = load_checkpoint(folder, model, averaged, None, needed=True)
    result.load_state_dict(averaged.module.state_dict())
    return result.eval(), step
