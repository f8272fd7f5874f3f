"""Demonstrations in the form of a policy's observations and actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vima_ros.geometry import Workspace
from vima_ros.perception.crops import extract_objects
from vima_ros.perception.detectors.base import Detector
from vima_ros.perception.detectors.ground_truth_masks import GroundTruthMaskDetector
from vima_ros.perception.detectors.instances import Instances
from vima_ros.prompt.assembly import Encode, assemble
from vima_ros.sim.recording import RecordedEpisode, RecordedImages
from vima_ros.specs import (
    VIEWS,
    Action,
    EncodedPrompt,
    EndEffector,
    Observation,
    Primitive,
    PromptImage,
    ViewObjects,
)


@dataclass(frozen=True, eq=False)
class Demonstration:
    """Demonstration of T actions and the T + 1 observations before, between and after them.

    ``text``, with {placeholders}, and ``images`` by name, in the order of the text, make the
    prompt. ``actions`` are those carried out, as fractions of ``workspace``. Privileged:
    ``objects``, the names of the K objects, ``unrounded`` (T, 12) and ``object_poses``
    (T + 1, K, 7) float32 as in ``RecordedEpisode``, ``shown``: what each image ``shows``, as in
    ``RecordedPromptAsset``.
    A track id is an object's place in ``objects`` + 1; every observation has K slots in both views
    (docs/vima_architecture.md, "Object slots").
    """

    task: str
    level: str
    seed: int
    text: str
    images: Mapping[str, PromptImage]
    observations: tuple[Observation, ...]
    actions: tuple[Action, ...]
    step_limit: int
    objects: tuple[str, ...]
    unrounded: np.ndarray
    object_poses: np.ndarray
    workspace: Workspace
    shown: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def prompt(self, encode: Encode) -> EncodedPrompt:
        """Encode the prompt; ``encode`` is the tokenizer's. Raises VimaError (PROMPT_TOO_LONG)."""
        return assemble(self.text, self.images, encode)


def demonstration_of(
    recording: RecordedEpisode, detector: Detector | None = None
) -> Demonstration:
    """Extract a recording's objects by its masks or, if given, by ``detector``.

    Raises VimaError: NO_MASK for a recording without masks and no detector, or the detector's.
    """
    images = {}
    for asset in recording.assets:
        (views,) = _objects(asset.images, asset.count, detector)
        images[asset.name] = PromptImage(asset.name, asset.kind, *views)
    timesteps = _objects(recording.images, len(recording.objects), detector)
    return Demonstration(
        recording.task,
        recording.level,
        recording.seed,
        recording.prompt,
        images,
        tuple(
            observation(views, recording.end_effector, len(recording.objects))
            for views in timesteps
        ),
        actions(recording.bins, recording.end_effector),
        recording.step_limit,
        recording.objects,
        recording.actions,
        recording.object_poses,
        recording.workspace,
        {asset.name: asset.shows for asset in recording.assets if asset.shows},
    )


def shuffled(demonstration: Demonstration, random: np.random.Generator) -> Demonstration:
    """Shuffle the objects of every view.

    They are in the order in which the task created them, which reveals their use: the base
    first, the distractors last. A robot's detector knows no such order.
    """

    def mixed(shown: Any) -> Any:
        views = {}
        for view in VIEWS:
            objects = getattr(shown, view)
            order = random.permutation(len(objects))
            views[view] = ViewObjects(*(values[order] for values in objects.fields))
        return replace(shown, **views)

    return replace(
        demonstration,
        images={name: mixed(image) for name, image in demonstration.images.items()},
        observations=tuple(mixed(observation) for observation in demonstration.observations),
    )


def observation(
    views: tuple[ViewObjects, ViewObjects], end_effector: EndEffector, count: int
) -> Observation:
    """Build an observation with slots for ``count`` objects (a detector may have found more)."""
    front, top = views
    slots = max(count, len(front)), max(count, len(top))
    return Observation(front, top, end_effector, slots)


def actions(bins: np.ndarray, end_effector: EndEffector) -> tuple[Action, ...]:
    """Convert ``bins`` (T, 12) to actions."""
    spatula = end_effector == EndEffector.SPATULA
    kind = Primitive.SWEEP if spatula else Primitive.PICK_PLACE
    return tuple(Action(row.astype(np.int64), kind) for row in bins)


def _objects(
    images: RecordedImages, count: int, detector: Detector | None
) -> list[tuple[ViewObjects, ViewObjects]]:
    """Extract the objects of every timestep, front and top."""
    ids, found = np.arange(1, count + 1), []
    for timestep, frames in enumerate(images.rgb):
        views = []
        for index, rgb in enumerate(frames):
            mask = None if images.masks is None else images.masks[timestep, index]
            if detector is not None or mask is None:
                instances = (detector or GroundTruthMaskDetector()).detect(rgb, VIEWS[index], mask)
            else:
                instances = Instances(mask, ids, np.ones(count, np.float32))
            views.append(extract_objects(rgb, instances))
        found.append((views[0], views[1]))
    return found
