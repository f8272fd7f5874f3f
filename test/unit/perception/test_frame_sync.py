import itertools
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vima_ros.errors import VimaError
from vima_ros.perception.frame_sync import StampSynchronizer

SLOP = 5
KEYS = ("front", "top", "side")
arrivals = st.lists(st.tuples(st.sampled_from(KEYS[:2]), st.integers(0, 60)), max_size=60)


def run(sync, events):
    """The sets that come out of ``events``; an item is the number of its event."""
    sets = (sync.add(key, stamp, number) for number, (key, stamp) in enumerate(events))
    return [found for found in sets if found is not None]


@given(arrivals, st.integers(0, 10), st.integers(1, 5))
def test_never_beyond_slop_never_twice_never_backwards(events, slop, depth):
    sync = StampSynchronizer(KEYS[:2], slop, depth)
    sets = run(sync, events)
    for found in sets:
        assert set(found) == {"front", "top"}
        stamps = [stamp for stamp, _ in found.values()]
        assert max(stamps) - min(stamps) <= slop
        for key, (stamp, number) in found.items():
            assert events[number] == (key, stamp)
    used = [number for found in sets for _, number in found.values()]
    assert len(used) == len(set(used))
    for before, after in itertools.pairwise(sets):
        assert all(after[key][0] > before[key][0] for key in before)


@given(
    st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 40)), max_size=40),
    st.integers(0, 10),
)
def test_the_newest_possible_set_comes_out_and_as_soon_as_possible(events, slop):
    """Against trying every combination of what could still be used."""
    sync = StampSynchronizer(KEYS, slop, depth=1000)
    usable = {key: {} for key in KEYS}
    last = dict.fromkeys(KEYS, -1)
    for number, (key, stamp) in enumerate(events):
        if stamp > last[key]:
            usable[key][stamp] = number
        combinations = itertools.product(*(usable[k].items() for k in KEYS))
        fitting = [
            combination
            for combination in combinations
            if max(s for s, _ in combination) - min(s for s, _ in combination) <= slop
        ]
        best = max(
            fitting,
            key=lambda c: (max(s for s, _ in c), *(s for s, _ in c)),
            default=None,
        )
        found = sync.add(key, stamp, number)
        if best is None:
            assert found is None
            continue
        assert found == dict(zip(KEYS, best, strict=True))
        for k, (used, _) in zip(KEYS, best, strict=True):
            last[k] = used
            usable[k] = {s: n for s, n in usable[k].items() if s > used}


class Item:
    def __init__(self, key, stamp):
        self.key, self.stamp = key, stamp


@given(arrivals, st.integers(1, 6))
def test_the_newest_items_are_kept_up_to_depth_and_the_others_freed(events, depth):
    sync, kept = StampSynchronizer(KEYS, SLOP, depth), weakref.WeakSet()  # "side" never comes
    for key, stamp in events:
        item = Item(key, stamp)
        kept.add(item)
        assert sync.add(key, stamp, item) is None
        del item
    for key in KEYS[:2]:
        stamps = sorted(item.stamp for item in kept if item.key == key)
        assert len(stamps) <= depth
        assert stamps[-1:] == [stamp for stamp in [newest(events, key)] if stamp is not None]


def newest(events, key):
    return max((stamp for k, stamp in events if k == key), default=None)


def test_slop_is_inclusive():
    sync = StampSynchronizer(("front", "top"), SLOP)
    assert sync.add("front", 100, "a") is None
    assert sync.add("top", 106, "b") is None
    assert sync.add("top", 105, "c") == {"front": (100, "a"), "top": (105, "c")}


def test_newest_wins_over_closest():
    sync = StampSynchronizer(("front", "top"), SLOP)
    for stamp in (98, 100, 102):
        sync.add("front", stamp, stamp)
    assert sync.add("top", 99, "t") == {"front": (102, 102), "top": (99, "t")}
    assert sync.add("top", 101, "u") is None


def test_a_clock_set_back_starts_afresh():
    sync = StampSynchronizer(("front", "top"), SLOP, reset_ns=1000)
    sync.add("front", 50_000, "old")
    sync.add("top", 50_000, "old")
    sync.add("top", 50_100, "waits")
    assert sync.add("front", 49_001, "late") is None
    assert sync.add("front", 10, "new") is None
    assert sync.add("top", 12, "new") == {"front": (10, "new"), "top": (12, "new")}


def test_a_stamp_from_the_future_does_not_block():
    sync = StampSynchronizer(("front", "top"), SLOP, reset_ns=1000)
    sync.add("front", 10**15, "wrong")
    sync.add("front", 100, "a")
    assert sync.add("top", 100, "b") == {"front": (100, "a"), "top": (100, "b")}


def test_one_key_gives_every_newer_item():
    sync = StampSynchronizer(("top",), 0)
    assert sync.add("top", 5, "a") == {"top": (5, "a")}
    assert sync.add("top", 5, "again") is None
    assert sync.add("top", 6, "b") == {"top": (6, "b")}


@pytest.mark.parametrize(
    ("keys", "slop", "depth", "reset"),
    [
        ((), 1, 1, 9),
        (("a", "a"), 1, 1, 9),
        (("a",), -1, 1, 9),
        (("a",), 1, 0, 9),
        (("a",), 9, 1, 9),
    ],
)
def test_impossible_settings_are_refused(keys, slop, depth, reset):
    with pytest.raises(VimaError, match="valid"):
        StampSynchronizer(keys, slop, depth, reset_ns=reset)


def test_an_unknown_key_is_refused():
    with pytest.raises(VimaError, match="'side'; valid: front, top"):
        StampSynchronizer(("front", "top"), SLOP).add("side", 1, None)
