import numpy as np
import pytest

pytest.importorskip("vima_msgs.msg", reason="vima_msgs is not built")

from outlines_of import outline

from vima_ros.nodes.policy.decision import ungrounded_reason
from vima_ros.policy.action_selection import decide
from vima_ros.policy.picked_object import Pick
from vima_ros.specs import HEAD_BINS, EndEffector, ViewObjects

LOGITS = {head: np.zeros(sum(n), np.float32) for head, n in HEAD_BINS.items()}
SQUARE = outline([(10, 10), (30, 10), (30, 30), (10, 30)])
SEEN = ViewObjects([[20, 20, 20, 20]], np.zeros((1, 3, 32, 32), np.uint8), [1.0], [7], [SQUARE])
WITHOUT = ViewObjects(*SEEN.fields[:4])


@pytest.mark.parametrize(
    ("pick", "picked", "end_effector", "top", "reason"),
    [
        ("grounded", 7, EndEffector.SUCTION, SEEN, ""),
        ("bins", None, EndEffector.SUCTION, WITHOUT, ""),
        ("grounded", None, EndEffector.SPATULA, WITHOUT, ""),
        ("grounded", None, EndEffector.SUCTION, ViewObjects.empty(), "no object in the top view"),
        ("grounded", None, EndEffector.SUCTION, WITHOUT, "the observation has no outlines"),
        ("grounded", None, EndEffector.SUCTION, SEEN, "no outline has a bin left"),
    ],
)
def test_why_a_grounded_pick_was_made_by_the_bins(pick, picked, end_effector, top, reason):
    decision = decide(LOGITS, Pick((0, 0), track_id=picked), end_effector, {})
    assert ungrounded_reason(pick, decision, top).startswith(reason)
    assert bool(ungrounded_reason(pick, decision, top)) == bool(reason)
