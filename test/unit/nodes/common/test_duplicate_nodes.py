"""Two nodes of one name: exactly one of them runs, whoever hears the other first."""

from itertools import pairwise, permutations

import pytest

pytest.importorskip("vima_msgs")

from vima_ros.liveness import NodeInstance
from vima_ros.nodes.common.duplicate_nodes import INSTANCE_TIMEOUT, DuplicateNodes, new_instance_id

UNCONFIGURED, INACTIVE, ACTIVE, FINALIZED, CONFIGURING = 1, 2, 3, 4, 10


def test_ids_differ_and_a_later_one_is_larger():
    ids = [new_instance_id() for _ in range(100)]
    assert all(len(name) == 32 for name in ids)
    assert len(set(ids)) == len(ids)
    assert all(a[:16] <= b[:16] for a, b in pairwise(ids))


@pytest.mark.parametrize("state", [UNCONFIGURED, CONFIGURING, INACTIVE, ACTIVE])
def test_of_two_alike_the_first_started_has_precedence(state):
    first, second = NodeInstance("1", state), NodeInstance("2", state)
    assert first.outranks(second)
    assert not second.outranks(first)


def test_one_that_is_further_up_has_precedence_whenever_it_was_started():
    levels = [ACTIVE, INACTIVE, UNCONFIGURED]
    for higher, lower in (
        (a, b) for a, b in permutations(levels, 2) if a in levels[: levels.index(b)]
    ):
        assert NodeInstance("2", higher).outranks(NodeInstance("1", lower))
        assert not NodeInstance("1", lower).outranks(NodeInstance("2", higher))


def test_a_rival_is_named_until_it_ends_or_falls_silent():
    duplicates, own = DuplicateNodes(), NodeInstance("2", UNCONFIGURED)
    assert duplicates.find_rival(own, 0.0) is None
    other = NodeInstance("1", ACTIVE, "robot", 4711)
    assert duplicates.receive(other, 0.0)
    assert not duplicates.receive(other, 0.2)  # told once
    assert duplicates.find_rival(own, 0.2 + INSTANCE_TIMEOUT) == other
    assert str(other) == "process 4711 on robot"
    assert duplicates.find_rival(own, 0.3 + INSTANCE_TIMEOUT) is None
    duplicates.receive(other, 5.0)
    duplicates.receive(NodeInstance("1", FINALIZED, "robot", 4711), 5.1)
    assert duplicates.find_rival(own, 5.1) is None


def test_the_last_word_of_one_that_ends_is_no_news():
    assert not DuplicateNodes().receive(NodeInstance("1", FINALIZED), 0.0)
