"""Processing of one pair of messages, in which no error is raised."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.nodes.perception.image_pair import ImagePair
from vima_ros.perception.pipeline import PerceptionPipeline, PerceptionResult


def process_pair(
    pair: ImagePair,
    pipeline: PerceptionPipeline,
    needs_mask: bool,
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
    fault = ""
    try:
        check(pair)
        with result.timed("decode"):
            images = pair.images()
            masks = pair.masks() if needs_mask else None
        pipeline.process(images, masks, pair.stamps, now, result)
    except VimaError as error:
        result.refuse(error)
    except Exception as error:
        fault = traceback.format_exc()
        message = f"{type(error).__name__}: {error}; see the node's log for the place"
        result.refuse(VimaError("INTERNAL_ERROR", message))
    return result, images, fault
