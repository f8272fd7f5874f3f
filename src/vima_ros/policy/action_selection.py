"""Selection of an action from logits: the pick first, by its bins alone or inside an outline.

PICKS: ``bins``, the most probable bin of x and that of y, as in the paper; ``grounded``, the most
probable pair of bins inside the outline of any object of the top view, clear of its edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vima_ros.decision_attention import DecisionAttention
from vima_ros.errors import VimaError
from vima_ros.policy.picked_object import Pick, bins_on_object, candidate_bins, known_outlines
from vima_ros.specs import (
    HEAD_BINS,
    POSITION_BINS,
    Action,
    Decision,
    EndEffector,
    Primitive,
    ViewObjects,
)

BY_BINS, GROUNDED = PICKS = ("bins", "grounded")
EXCLUSION_RADIUS = 1  # around a pick that found nothing, in x and y [bins]


def select_pick(
    scores: np.ndarray, missed: Sequence[Action] = (), top: ViewObjects | None = None
) -> Pick:
    """Select the most probable pick.

    ``scores``: logits (150,) of ``pose0_position``. ``missed``: actions whose pick found nothing;
    bins within EXCLUSION_RADIUS of theirs are left out. ``top``: the objects to ground it in; by
    the bins alone without, and where no outline is known or none has a bin left.
    """
    x, y = np.split(scores.astype(np.float64), [POSITION_BINS[0]])
    if top is None and not missed:
        return Pick((int(x.argmax()), int(y.argmax())))
    joint = x[:, None] + y
    for i, j in (action.bins[:2] for action in missed):
        joint[
            max(i - EXCLUSION_RADIUS, 0) : i + EXCLUSION_RADIUS + 1,
            max(j - EXCLUSION_RADIUS, 0) : j + EXCLUSION_RADIUS + 1,
        ] = -np.inf
    grounded = None if top is None else _select_inside(joint, top)
    return grounded or Pick(_argmax(joint))


def _select_inside(joint: np.ndarray, top: ViewObjects) -> Pick | None:
    """Select the bins of the highest score (50, 100) inside an outline; None: there are none.

    Bins of -inf may not be used. Objects come in the order of the highest score around them, so
    that few are examined.
    """
    known = known_outlines(top)
    near = dict(zip(known, candidate_bins(top.outlines[known]), strict=True))
    bound = {i: joint[near[i]].max(initial=-np.inf) for i in near}
    best, pick = -np.inf, None
    for i in sorted(near, key=bound.__getitem__, reverse=True):
        if bound[i] <= best:
            break
        around = joint[near[i]]
        allowed = bins_on_object(top.outlines[i], near[i], around > -np.inf)
        inside = np.where(allowed, around, -np.inf)
        if inside.max() > best:
            best, (x, y) = inside.max(), _argmax(inside)
            bins = x + near[i][0].start, y + near[i][1].start
            pick = Pick(bins, i, int(top.track_ids[i]))
    return pick


def _argmax(scores: np.ndarray) -> tuple[int, int]:
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    return int(row), int(column)


def decide(
    logits: Mapping[str, np.ndarray],
    pick: Pick,
    end_effector: EndEffector,
    timings: Mapping[str, float],
    attention: DecisionAttention | None = None,
) -> Decision:
    """Decide on ``pick`` and the most probable rest; the spatula sweeps, the suction cup picks.

    ``logits``: {head: (C,) float32} as in specs.py. ``timings`` and ``attention`` go into the
    decision. Raises VimaError (NOT_FINITE).
    """
    bins, confidence = list(pick.bins), list[float]()
    for head, counts in HEAD_BINS.items():
        for part in np.split(logits[head], np.cumsum(counts)[:-1]):
            if not np.isfinite(part).all():
                raise VimaError("NOT_FINITE", f"logits of {head} are not finite; valid: numbers")
            if len(confidence) == len(bins):
                bins.append(int(part.argmax()))
            chosen = part[bins[len(confidence)]]
            confidence.append(1.0 / np.exp(part - chosen, dtype=np.float64).sum())
    sweeps = end_effector is EndEffector.SPATULA
    primitive = Primitive.SWEEP if sweeps else Primitive.PICK_PLACE
    action = Action(np.array(bins), primitive)
    return Decision(action, np.array(confidence), logits, timings, attention, pick.track_id)
