"""Images with instance masks, simulated or from VIMA-Bench, to train the detector on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from vima_ros.errors import VimaError
from vima_ros.sim.recording import RecordedImages
from vima_ros.training.data.readers import read_recordings
from vima_ros.training.evaluation.detector_frames import FIRST_EVALUATION_SEED

T = TypeVar("T")
PROMPTS_SHARE = 0.15  # most of them of one object alone
CROWDED_SHARE = 0.5  # of the others
VALIDATION_EVERY = 50  # recordings, one of which is not trained on
SMALL = 100  # [px] what is smaller, or partly hidden, is harder to find


@dataclass(frozen=True)
class EncodedImage:
    """An image and its instance ids, both as PNG: sixty thousand of them fit in a gigabyte."""

    frame_png: bytes
    mask_png: bytes

    def decode(self) -> tuple[np.ndarray, np.ndarray]:
        """Decode to RGB uint8 (128, 256, 3) and ids uint8 (128, 256), 0 = background."""
        frame = cv2.imdecode(np.frombuffer(self.frame_png, np.uint8), cv2.IMREAD_COLOR)
        mask = cv2.imdecode(np.frombuffer(self.mask_png, np.uint8), cv2.IMREAD_GRAYSCALE)
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), mask


@dataclass(frozen=True)
class ImageSource:
    """Images of one folder: of scenes, and of prompts.

    ``crowded``: places in ``scenes`` of those with objects that touch, or smaller than SMALL.
    ``validation``: scenes of other episodes, not to be trained on.
    """

    name: str
    scenes: tuple[EncodedImage, ...]
    prompts: tuple[EncodedImage, ...]
    crowded: tuple[int, ...] = ()
    validation: tuple[EncodedImage, ...] = ()


def read_source(folder: Path) -> ImageSource:
    """Read all recordings below ``folder``: of `demonstrate --content masks`, or VIMA-Bench's.

    One in ``VALIDATION_EVERY`` is for validation; the only one is not.

    Raises VimaError: NO_DEMONSTRATIONS, BAD_DEMONSTRATIONS, NO_IMAGES, NO_MASK, EVALUATION_SEED.
    """
    scenes: list[EncodedImage] = []
    prompts: list[EncodedImage] = []
    validation: list[EncodedImage] = []
    for number, recording in enumerate(read_recordings(folder), 1):
        if recording.seed >= FIRST_EVALUATION_SEED:
            raise VimaError(
                "EVALUATION_SEED",
                f"{folder} has seed {recording.seed}; valid to train on: below "
                f"{FIRST_EVALUATION_SEED}, the rest is kept for measuring",
            )
        if number % VALIDATION_EVERY == 2:
            validation += _images(recording.images, folder)
            continue
        scenes += _images(recording.images, folder)
        for asset in recording.assets:
            prompts += _images(asset.images, folder)
    crowded = (place for place, image in enumerate(scenes) if is_crowded(image.decode()[1]))
    return ImageSource(
        folder.name, tuple(scenes), tuple(prompts), tuple(crowded), tuple(validation)
    )


def is_crowded(mask: np.ndarray) -> bool:
    """Return whether objects of ``mask``, ids uint8 (h, w), touch, or show less than SMALL."""
    sizes = np.bincount(mask.ravel())[1:]
    if ((sizes > 0) & (sizes < SMALL)).any():
        return True
    pairs = ((mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1]))
    return any(((one != other) & (one > 0) & (other > 0)).any() for one, other in pairs)


def _images(images: RecordedImages, folder: Path) -> Iterator[EncodedImage]:
    if images.masks is None:
        raise VimaError("NO_MASK", f"{folder}: frames without masks; valid: --content masks")
    for frames, masks in zip(images.rgb, images.masks, strict=True):
        for frame, mask in zip(frames, masks, strict=True):
            yield EncodedImage(_png(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)), _png(mask))


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def draw(
    sources: Sequence[ImageSource], count: int, random: np.random.Generator
) -> Iterable[EncodedImage]:
    """Draw ``count`` images: each source as often as any other."""
    for _ in range(count):
        source = _any_of(sources, random)
        if source.prompts and random.random() < PROMPTS_SHARE:
            yield _any_of(source.prompts, random)
        elif source.crowded and random.random() < CROWDED_SHARE:
            yield source.scenes[_any_of(source.crowded, random)]
        else:
            yield _any_of(source.scenes, random)


def _any_of(items: Sequence[T], random: np.random.Generator) -> T:
    return items[int(random.integers(len(items)))]
