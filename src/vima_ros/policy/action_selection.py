"""Selection of an action from logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vima_ros.decision_attention import DecisionAttention
from vima_ros.errors import VimaError
from vima_ros.specs import HEAD_BINS, Action, Decision, EndEffector, Primitive

EXCLUSION_RADIUS = 1  # around a pick that found nothing, in x and y [bins]


def select_pick(scores: np.ndarray, missed: Sequence[Action] = ()) -> tuple[int, int]:
    """Select the bins x, y to pick at, the most probable.

    ``scores``: logits (150,) of ``pose0_position``. ``missed``: actions whose pick found nothing;
    then the most probable place outside EXCLUSION_RADIUS of these.
    """
    x, y = np.split(scores, [HEAD_BINS["pose0_position"][0]])
    if missed:
        return _argmax_excluding(x[:, None] + y, [action.bins[:2] for action in missed])
    return int(x.argmax()), int(y.argmax())


def decide(
    logits: Mapping[str, np.ndarray],
    pick: tuple[int, int],
    end_effector: EndEffector,
    timings: Mapping[str, float],
    attention: DecisionAttention | None = None,
) -> Decision:
    """Decide on ``pick`` and the most probable rest; the spatula sweeps, the suction cup picks.

    ``logits``: {head: (C,) float32} as in specs.py. ``timings`` and ``attention`` go into the
    decision. Raises VimaError (NOT_FINITE).
    """
    bins, confidence = [], []
    for head, counts in HEAD_BINS.items():
        for part in np.split(logits[head], np.cumsum(counts)[:-1]):
            if not np.isfinite(part).all():
                raise VimaError("NOT_FINITE", f"logits of {head} are not finite; valid: numbers")
            chosen = pick[len(bins)] if len(bins) < len(pick) else int(part.argmax())
            bins.append(chosen)
            confidence.append(1.0 / np.exp(part - part[chosen], dtype=np.float64).sum())
    sweeps = end_effector is EndEffector.SPATULA
    primitive = Primitive.SWEEP if sweeps else Primitive.PICK_PLACE
    return Decision(
        Action(np.array(bins), primitive), np.array(confidence), logits, timings, attention
    )


def _argmax_excluding(scores: np.ndarray, missed: Sequence[np.ndarray]) -> tuple[int, int]:
    """Return bins x, y of the maximum of ``scores`` (X, Y) away from all of ``missed`` (2,)."""
    free = np.ones(scores.shape, bool)
    for x, y in missed:
        free[
            max(x - EXCLUSION_RADIUS, 0) : x + EXCLUSION_RADIUS + 1,
            max(y - EXCLUSION_RADIUS, 0) : y + EXCLUSION_RADIUS + 1,
        ] = False
    best = np.where(free, scores, -np.inf).argmax()
    return tuple(map(int, np.unravel_index(best, scores.shape)))  # type: ignore[return-value]
