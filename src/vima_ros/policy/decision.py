"""From logits to a decision."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.specs import HEAD_BINS, Action, Decision, EndEffector, Primitive


def decide(
    logits: Mapping[str, np.ndarray], end_effector: EndEffector, timings: Mapping[str, float]
) -> Decision:
    """The decision of greatest probability. The spatula sweeps, the suction cup picks and places.

    ``logits``: {head: (C,) float32} as in specs.py. Raises VimaError (NOT_FINITE).
    """
    bins, confidence = [], []
    for head, counts in HEAD_BINS.items():
        for part in np.split(logits[head], np.cumsum(counts)[:-1]):
            if not np.isfinite(part).all():
                raise VimaError("NOT_FINITE", f"logits of {head} are not finite; valid: numbers")
            best = int(part.argmax())
            bins.append(best)
            confidence.append(1.0 / np.exp(part - part[best], dtype=np.float64).sum())
    sweeps = end_effector is EndEffector.SPATULA
    primitive = Primitive.SWEEP if sweeps else Primitive.PICK_PLACE
    return Decision(Action(np.array(bins), primitive), np.array(confidence), logits, timings)
