"""Batches of each training step, drawn by the recipe's seed and the step's number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from vima_ros.errors import VimaError
from vima_ros.training.data_parallel import ALONE, Processes
from vima_ros.training.policy.auxiliary_losses import MIN_OFFSET
from vima_ros.training.policy.batching import PolicyBatch, make_batch
from vima_ros.training.policy.detection_noise import DetectionNoise
from vima_ros.training.policy.example_recombination import ExampleBank
from vima_ros.training.policy.image_batching import make_image_batch
from vima_ros.training.policy.layout_augmentation import randomize_layout
from vima_ros.training.policy.privileged_labels import NOTHING
from vima_ros.training.policy.recipe import PolicyRecipe
from vima_ros.training.policy.training_episode import TrainingEpisode
from vima_ros.training.policy.visible_objects import ViewPair

Part = tuple[int, PolicyBatch]  # number of a micro-batch in its batch


class BatchSource(torch.utils.data.Dataset):
    """Dataset of the batch of each step: the micro-batches that a process computes of it.

    ``micro_batches``: number of parts of a batch, those of all processes together; the recipe's,
    or the number of processes where that is 0. Raises VimaError: NO_DEMONSTRATIONS, BAD_CONFIG
    where ``task_weights`` leaves no task, ``turn_first_steps`` have nothing to train, or the parts
    are not alike for all processes.
    """

    def __init__(
        self,
        episodes: Sequence[TrainingEpisode],
        recipe: PolicyRecipe,
        image_tokens: int | None,
        processes: Processes = ALONE,
    ) -> None:
        self._recipe, self._image_tokens, self._processes = recipe, image_tokens, processes
        self.micro_batches = recipe.micro_batches or processes.count
        if self.micro_batches % processes.count or self.micro_batches > recipe.batch_size:
            raise VimaError(
                "BAD_CONFIG",
                f"micro_batches is {self.micro_batches} of {recipe.batch_size} episodes with "
                f"{processes.count} processes; valid: a multiple of the number of processes, at "
                "most batch_size; or 0",
            )
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

    def __getitem__(self, step: int) -> list[Part]:
        """Draw a task for each episode, then an episode; split them into micro-batches by length.

        A batch is as long as its longest episode. The processes take turns at the parts, short and
        long ones.
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
        chosen.sort(key=lambda episode: _token_count(episode, self._image_tokens))
        ends = np.linspace(0, len(chosen), self.micro_batches + 1).astype(int)
        count = self._processes.count
        return [
            (part, self._make(chosen[ends[part] : ends[part + 1]], step, part))
            for part in range((self._processes.rank + step) % count, self.micro_batches, count)
        ]

    def _make(self, episodes: list[TrainingEpisode], step: int, part: int) -> PolicyBatch:
        """Build a micro-batch of a step with the recipe's augmentations."""
        random = np.random.default_rng([self._recipe.seed, step, part])
        if self._recipe.layout_fraction:
            keep = random.random(len(episodes)) >= self._recipe.layout_fraction
            episodes = [
                episode if stays else randomize_layout(episode, random)
                for episode, stays in zip(episodes, keep, strict=True)
            ]
        return make_any_batch(episodes, random, self._recipe.detection_noise, self._image_tokens)


def make_any_batch(
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
