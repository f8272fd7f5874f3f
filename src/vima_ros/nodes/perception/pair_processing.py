"""From a pair of messages to what it shows, whatever it holds."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.nodes.perception.frame_pairs import Pair
from vima_ros.perception.pipeline import Eyes, Seen


def look_at(
    pair: Pair, eyes: Eyes, needs_mask: bool, now: int, check: Callable[[Pair], None]
) -> tuple[Seen, dict[str, np.ndarray], str]:
    """What was seen, the cameras' pictures (empty if unusable), and the traceback of a fault.

    Never raises: a fault of ours, in a detector say, is a refusal with INTERNAL_ERROR. ``now`` is
    the node's clock [ns]; ``check`` raises VimaError for a pair that is not to be looked at.
    """
    queued = time.monotonic() - pair.complete
    seen = Seen(pair.stamps, times={**pair.times, "queue": queued})
    pictures: dict[str, np.ndarray] = {}
    fault = ""
    try:
        check(pair)
        with seen.timed("decode"):
            pictures = pair.pictures()
            masks = pair.masks() if needs_mask else None
        eyes.look(pictures, masks, pair.stamps, now, seen)
    except VimaError as error:
        seen.refuse(error)
    except Exception as error:
        fault = traceback.format_exc()
        said = f"{type(error).__name__}: {error}; the node's log says where"
        seen.refuse(VimaError("INTERNAL_ERROR", said))
    return seen, pictures, fault
