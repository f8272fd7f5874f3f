"""Demonstrations in the form of a policy's observations and actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.perception.crops import extract_objects
from vima_ros.perception.detectors.instances import Instances
from vima_ros.perception.view_images import view_images
from vima_ros.prompt.assembly import Encode, assemble
from vima_ros.prompt.image_encoding import PromptImageEncoder, Views
from vima_ros.sim.recording import RecordedEpisode, RecordedImages
from vima_ros.specs import (
    VIEWS,
    Action,
    EncodedPrompt,
    EndEffector,
    Observation,
    Primitive,
    PromptImage,
    ViewImages,
    ViewObjects,
)


@dataclass(frozen=True, eq=False)
class Demonstration:
    """Demonstration of T actions and the T + 1 observations before, between and after them.

    ``text``, with {placeholders}, and ``images`` by name, in the order of the text, make the
    prompt. ``actions`` are those carried out, as fractions of ``workspace``. Privileged:
    ``objects``, the names of the K objects, ``unrounded`` (T, 12) and ``object_poses``
    (T + 1, K, 7) float32 as in ``RecordedEpisode``, ``shown``: what each image ``shows``, as in
    ``RecordedPromptAsset``. ``recording``: the images and masks that the objects were cut out of;
    None where only crops are known.
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
    recording: RecordedEpisode | None = None

    def prompt(self, encode: Encode) -> EncodedPrompt:
        """Encode the prompt; ``encode`` is the tokenizer's. Raises VimaError (PROMPT_TOO_LONG)."""
        return assemble(self.text, self.images, encode)


def demonstration_of(recording: RecordedEpisode) -> Demonstration:
    """Extract a recording's objects by its masks, and whole images.

    Raises VimaError (NO_MASK) without masks.
    """
    encoder = PromptImageEncoder()
    assets = {
        asset.name: replace(
            encoder.read(asset.name, asset.kind, _views(asset.images)),
            images=_whole(asset.images.rgb[0]),
        )
        for asset in recording.assets
    }
    timesteps = _objects(recording.images, len(recording.objects))
    return Demonstration(
        recording.task,
        recording.level,
        recording.seed,
        recording.prompt,
        assets,
        tuple(
            observation(views, recording.end_effector, len(recording.objects), images)
            for views, images in zip(timesteps, map(_whole, recording.images.rgb), strict=True)
        ),
        actions(recording.bins, recording.end_effector),
        recording.step_limit,
        recording.objects,
        recording.actions,
        recording.object_poses,
        recording.workspace,
        {asset.name: asset.shows for asset in recording.assets if asset.shows},
        recording,
    )


def first_observation(demonstration: Demonstration) -> Observation:
    """Return the first observation, with outlines where the recording has masks."""
    first, recording = demonstration.observations[0], demonstration.recording
    if recording is None or recording.images.masks is None:
        return first
    frames, masks = recording.images.rgb[0], recording.images.masks[0]
    front, top = _views_of(frames, masks, len(demonstration.objects), with_outlines=True)
    return replace(first, front=front, top=top)


def shuffled(demonstration: Demonstration, random: np.random.Generator) -> Demonstration:
    """Shuffle the objects of every view.

    They are in the order in which the task created them, which reveals their use: the base
    first, the distractors last. A robot's detector knows no such order.
    """

    def mixed(shown: Any) -> Any:
        views = {}
        for view in VIEWS:
            objects = getattr(shown, view)
            views[view] = objects.at(random.permutation(len(objects)))
        return replace(shown, **views)

    return replace(
        demonstration,
        images={name: mixed(image) for name, image in demonstration.images.items()},
        observations=tuple(mixed(observation) for observation in demonstration.observations),
    )


def observation(
    views: tuple[ViewObjects, ViewObjects],
    end_effector: EndEffector,
    count: int,
    images: ViewImages | None = None,
) -> Observation:
    """Build an observation with slots for ``count`` objects, of which some may be hidden."""
    return Observation(*views, end_effector, (count, count), images=images)


def actions(bins: np.ndarray, end_effector: EndEffector) -> tuple[Action, ...]:
    """Convert ``bins`` (T, 12) to actions."""
    spatula = end_effector == EndEffector.SPATULA
    kind = Primitive.SWEEP if spatula else Primitive.PICK_PLACE
    return tuple(Action(row.astype(np.int64), kind) for row in bins)


def _views(images: RecordedImages) -> Views:
    """Return image and mask of each view of the first timestep."""
    masks = (None, None) if images.masks is None else images.masks[0]
    return dict(zip(VIEWS, zip(images.rgb[0], masks, strict=True), strict=True))


def _whole(frames: np.ndarray) -> ViewImages:
    """Return the whole images of both views' frames (2, 128, 256, 3)."""
    return view_images(dict(zip(VIEWS, frames, strict=True)))


def _objects(images: RecordedImages, count: int) -> list[tuple[ViewObjects, ViewObjects]]:
    """Extract the objects of every timestep, front and top."""
    if images.masks is None:
        raise VimaError("NO_MASK", "the recording has no masks; valid: content masks or crops")
    timesteps = zip(images.rgb, images.masks, strict=True)
    return [_views_of(frames, masks, count) for frames, masks in timesteps]


def _views_of(
    frames: np.ndarray, masks: np.ndarray, count: int, *, with_outlines: bool = False
) -> tuple[ViewObjects, ViewObjects]:
    """Extract the objects of one timestep, front and top."""
    ids, scores = np.arange(1, count + 1), np.ones(count, np.float32)
    front, top = (
        extract_objects(rgb, Instances(mask, ids, scores), with_outlines=with_outlines)
        for rgb, mask in zip(frames, masks, strict=True)
    )
    return front, top
