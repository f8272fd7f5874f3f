"""Errors of a detector, added to ground-truth objects during training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.specs import POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH
from vima_ros.training.policy.covered_objects import lower_half_box
from vima_ros.training.policy.privileged_labels import NOTHING
from vima_ros.training.policy.training_episode import TrainingEpisode
from vima_ros.training.policy.visible_objects import ViewPair, VisibleObjects
from vima_ros.training.recipes import check, setting

MAX_BOX = (
    POLICY_FRAME_WIDTH - 1,
    POLICY_FRAME_HEIGHT - 1,
    POLICY_FRAME_HEIGHT,
    POLICY_FRAME_WIDTH,
)


@dataclass(frozen=True)
class DetectionNoise:
    """Errors of a simulated detector, as fractions of the objects of a view. Raises VimaError."""

    miss_rate: float = setting(
        0.02, "fraction of the objects that are not detected", low=0, high=1
    )
    false_positive_rate: float = setting(
        0.02, "crops of other objects at other places, as a fraction of the objects", low=0, high=1
    )
    box_error_rate: float = setting(
        0.3, "fraction of the boxes that are moved or resized by a pixel", low=0, high=1
    )

    # Of 118 covered blocks the bundled detector found 58 at half their height and missed 18.
    covered_half_rate: float = setting(
        0.49,
        "fraction of the objects with another one on them, in a prompt's scene, whose box in the "
        "front view is halved",
        low=0,
        high=1,
    )
    covered_miss_rate: float = setting(
        0.15, "fraction of these that are not detected there", low=0, high=1
    )

    def __post_init__(self) -> None:
        check(self)
        if self.covered_half_rate + self.covered_miss_rate > 1:
            raise VimaError(
                "BAD_CONFIG",
                f"detection_noise: covered_half_rate is {self.covered_half_rate} and "
                f"covered_miss_rate {self.covered_miss_rate}; valid: at most 1 together",
            )


NO_NOISE = DetectionNoise(0.0, 0.0, 0.0, 0.0, 0.0)


def add_covered_noise(
    image: ViewPair, random: np.random.Generator, noise: DetectionNoise
) -> ViewPair:
    """Halve or leave out the objects of a prompt's scene that another one stands on."""
    front, top = image
    covered = np.array(front.halved, np.int64) != NOTHING
    if not covered.any():
        return image
    drawn = np.where(covered, random.random(len(covered)), 1.0)
    missed = drawn < noise.covered_miss_rate
    halved = ~missed & (drawn < noise.covered_miss_rate + noise.covered_half_rate)
    kept = np.flatnonzero(~missed)
    boxes = [lower_half_box(front.boxes[i]) if halved[i] else front.boxes[i] for i in kept]
    crops = tuple(front.halved[i] if halved[i] else front.crops[i] for i in kept)
    ids = tuple(front.ids[i] for i in kept)
    return VisibleObjects(crops, np.array(boxes), ids), top


def add_noise(
    image: ViewPair,
    episode: TrainingEpisode,
    random: np.random.Generator,
    noise: DetectionNoise | None,
) -> ViewPair:
    """Shuffle the objects of both views; add the errors of a detector if ``noise`` is given."""
    views = []
    for shown in image:
        order = random.permutation(len(shown.crops))
        if noise is not None and len(order) > 1:
            found = order[random.random(len(order)) >= noise.miss_rate]
            order = found if len(found) else order[:1]
        crops = [shown.crops[i] for i in order]
        boxes, ids = shown.boxes[order].astype(np.int64), [shown.ids[i] for i in order]
        if noise is not None and len(order):
            off = random.random(len(boxes)) < noise.box_error_rate
            boxes[off] = np.clip(boxes[off] + random.integers(-1, 2, (off.sum(), 4)), 0, MAX_BOX)
            if random.random() < noise.false_positive_rate * len(order):
                other = shown.boxes[random.integers(len(shown.boxes))].astype(np.int64)
                other[:2] = random.integers(0, MAX_BOX[:2])
                at = random.integers(len(order) + 1)
                crops.insert(at, int(random.integers(len(episode.crops))))
                ids.insert(at, NOTHING)
                boxes = np.insert(boxes, at, other, axis=0)
        views.append(VisibleObjects(tuple(crops), boxes, tuple(ids)))
    return views[0], views[1]
