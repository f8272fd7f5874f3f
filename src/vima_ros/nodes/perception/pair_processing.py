"""Processing of one pair of messages, in which no error is raised."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.nodes.perception.image_pair import ImagePair
from vima_ros.perception.pipeline import PerceptionPipeline, PerceptionResult


@dataclass(frozen=True)
class Demand:
    """Demand for what is made of a pair.

    ``whole_images``: the policy reads them, and no objects. ``objects``: of whole images too,
    somebody else reads them. ``masks``: the detector needs them.
    """

    whole_images: bool
    objects: bool
    masks: bool


def process_pair(
    pair: ImagePair,
    pipeline: PerceptionPipeline,
    demand: Demand,
    now: int,
    check: Callable[[ImagePair], None],
) -> tuple[PerceptionResult, dict[str, np.ndarray], str]:
    """Decode a pair and run the pipeline on it.

    Returns the result, the cameras' images (empty if unusable), and the traceback of an unexpected
    error, which gives a result with INTERNAL_ERROR. ``now``: the node's clock [ns]. ``check``
    raises VimaError for a pair that must not be processed.
    """
    queued = time.monotonic() - pair.complete
    result = PerceptionResult(pair.stamps, times={**pair.times, "queue": queued})
    images: dict[str, np.ndarray] = {}
    masks: dict[str, np.ndarray] | None = None

    def observe() -> None:
        check(pair)
        nonlocal images, masks
        with result.timed("decode"):
            images = pair.images()
            if demand.masks and (demand.objects or not demand.whole_images):
                masks = pair.masks()
        pipeline.process(images, masks, pair.stamps, now, result, whole_images=demand.whole_images)

    fault = _attempt(result, observe)
    if demand.whole_images and demand.objects and result.observation is not None:
        result.scene = scene = PerceptionResult(
            pair.stamps, frames=result.frames, times=result.times
        )
        fault = _attempt(scene, lambda: pipeline.find_objects(scene, masks))
    return result, images, fault


def _attempt(result: PerceptionResult, act: Callable[[], object]) -> str:
    """Call ``act``, whose error refuses ``result``; return the traceback of an unexpected one."""
    try:
        act()
    except VimaError as error:
        result.refuse(error)
    except Exception as error:
        message = f"{type(error).__name__}: {error}; see the node's log for the place"
        result.refuse(VimaError("INTERNAL_ERROR", message))
        return traceback.format_exc()
    return ""
