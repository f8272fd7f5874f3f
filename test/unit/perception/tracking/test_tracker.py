from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tracked_scenes import BLUE, FRAME_TIME, GREEN, RED, YELLOW, Block, follow, look

from vima_ros.errors import VimaError
from vima_ros.perception.tracking import tracker as tracking
from vima_ros.perception.tracking.tracker import Tracker, TrackerSettings
from vima_ros.specs import VIEWS, ViewObjects

FOUR = (
    Block(0.35, -0.2, RED),
    Block(0.35, 0.2, GREEN),
    Block(0.55, -0.3, BLUE),
    Block(0.6, 0.1, YELLOW),
)
EMPTY = look([])


def update(tracker, moment, stamp=0):
    return tracker.update(moment.objects, stamp, moment.images, moment.masks)


def test_ids_start_in_raster_order_of_the_top_view_and_front_only_ones_come_last():
    moment = look(FOUR, hidden=[("top", 0)])
    (followed,) = follow([moment])
    assert followed == {"front": {1: 4, 2: 1, 3: 2, 4: 3}, "top": {2: 1, 3: 2, 4: 3}}


def test_objects_come_back_as_they_were_in_the_order_of_their_ids():
    moment = look(FOUR[::-1])
    tracker = Tracker()
    out = update(tracker, moment)
    for view in VIEWS:
        assert out[view].track_ids.tolist() == [1, 2, 3, 4]
        given_as = {t: d for d, t in tracker.track_ids[view].items()}
        place = [moment.objects[view].track_ids.tolist().index(given_as[k]) for k in range(1, 5)]
        assert out[view].has_outlines
        for name in ("boxes", "crops", "scores", "outlines"):
            got, before = getattr(out[view], name), getattr(moment.objects[view], name)
            np.testing.assert_array_equal(got, before[place])


def scatter(rng, count):
    """``count`` blocks on a grid, some of them alike."""
    cells = rng.permutation(24)[:count]
    return [
        Block(
            0.32 + 0.12 * (cell // 8),
            -0.42 + 0.12 * (cell % 8),
            (RED, GREEN, BLUE)[rng.integers(3)],
            side=(0.04, 0.07)[rng.integers(2)],
        )
        for cell in cells.tolist()
    ]


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_the_order_in_which_objects_are_listed_changes_nothing(seed, count):
    rng = np.random.default_rng(seed)
    trackers = Tracker(), Tracker()
    blocks = scatter(rng, count)
    for k in range(4):
        hidden = [(view, i) for view in VIEWS for i in range(count) if rng.random() < 0.1]
        orders = ({v: rng.permutation(count) + 1 for v in VIEWS} for _ in trackers)
        first, second = (
            update(t, look(blocks, hidden, order), k * FRAME_TIME)
            for t, order in zip(trackers, orders, strict=True)
        )
        for view in VIEWS:
            for a, b in zip(first[view].fields, second[view].fields, strict=True):
                np.testing.assert_array_equal(a, b)
        assert trackers[0].track_ids == trackers[1].track_ids
        blocks[0] = blocks[0].at(*rng.uniform((0.3, -0.4), (0.7, 0.4)))


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1))
def test_an_object_at_rest_keeps_its_id_among_alike_ones(seed):
    rng = np.random.default_rng(seed)
    blocks = [Block(0.35 + 0.08 * (i // 5), -0.3 + 0.08 * (i % 5)) for i in range(15)]
    first, *later = follow(
        look([b.at(*rng.normal((b.x, b.y), 0.002)) for b in blocks]) for _ in range(5)
    )
    assert sorted(first["top"].values()) == list(range(1, 16))
    assert first["front"] == first["top"]
    assert all(moment == first for moment in later)


def test_of_two_alike_the_one_that_is_carried_away_keeps_its_id():
    here, there = Block(0.4, -0.3), Block(0.4, -0.2)
    before, after = follow([look([here, there]), look([here, there.at(0.6, 0.4)])])
    assert before == after


def test_two_objects_moved_at_once_are_distinguished_by_appearance():
    small, large = replace(FOUR[0], side=0.03), replace(FOUR[0], side=0.07, x=0.5)
    before, after = follow(
        [
            look([small, large, FOUR[1]]),
            look([small.at(0.65, 0.4), large.at(0.35, 0.4), FOUR[1].at(0.5, -0.4)]),
        ]
    )
    assert before == after


def test_two_objects_that_pass_each_other_are_distinguished_by_shade():
    light, dark = Block(0.4, -0.1, (200, 90, 60)), Block(0.4, 0.1, (200, 60, 60))
    before, after = follow([look([light, dark]), look([light.at(0.65, 0.3), dark.at(0.65, -0.3)])])
    assert before == after


def test_alike_ones_that_pass_each_other_at_camera_rate_keep_their_ids():
    ways = np.linspace(-0.3, 0.3, 60)  # 1 cm a frame
    first, *later = follow(look([Block(0.4, y), Block(0.5, -y)]) for y in ways)
    assert all(moment == first for moment in later)


def test_what_was_hidden_is_found_again_where_it_was_and_elsewhere():
    gone = [("front", 0), ("top", 0)]
    moved = (FOUR[0].at(0.65, 0.4), *FOUR[1:])
    first, hidden, again, elsewhere = follow(
        [look(FOUR), look(FOUR, gone), look(FOUR), look(moved)]
    )
    assert 1 not in hidden["top"]
    assert first == again == elsewhere


def test_one_view_is_enough():
    first, front, top = follow([look(FOUR), look(FOUR, [("top", 2)]), look(FOUR, [("front", 2)])])
    assert front["front"] == first["front"]
    assert top["top"] == first["top"]


def test_a_different_appearance_in_the_same_place_is_another_object():
    table = [Block(0.4, 0.0, RED), Block(0.5, 0.2)]
    other = [Block(0.4, 0.0, GREEN), Block(0.5, 0.2)]
    before, after = follow([look(table), look(other)])
    assert after["top"] == {1: 3, 2: before["top"][2]}


def test_an_object_hidden_for_too_long_gets_a_new_id():
    tracker = Tracker(TrackerSettings(max_missed=3))
    gone = [(view, 1) for view in VIEWS]
    pair = FOUR[:2]
    kept = follow([look(pair), *[look(pair, gone)] * 3, look(pair)], tracker)
    assert kept[0] == kept[-1]
    tracker.reset()
    lost = follow([look(pair), *[look(pair, gone)] * 4, look(pair)], tracker)
    assert lost[-1]["top"] == {1: 1, 2: 3}


def test_no_id_is_given_twice():
    later = [replace(block, side=0.03).at(block.x + 0.1, block.y) for block in FOUR]
    first, second = follow([look(FOUR), look([*FOUR, *later])])
    assert sorted(first["top"].values()) == [1, 2, 3, 4]
    assert sorted(second["top"].values()) == list(range(1, 9))
    assert second["front"] == second["top"]


def test_memory_is_bounded():
    tracker = Tracker(TrackerSettings(max_lost=5))
    rng = np.random.default_rng(0)
    for k in range(40):
        block = Block(*rng.uniform((0.3, -0.4), (0.7, 0.4)), tuple(rng.integers(0, 256, 3)))
        update(tracker, look([block]), k)
        assert len(tracker.ages(k)) <= 6
    assert max(tracker.ages(40)) > 10


def test_of_too_many_lost_objects_the_latest_are_remembered():
    tracker = Tracker(TrackerSettings(max_lost=1))
    follow([look([FOUR[0]]), look([FOUR[1]]), EMPTY], tracker)
    assert list(tracker.ages(0)) == [2]


def test_ages_count_from_the_first_sighting():
    tracker = Tracker()
    update(tracker, look(FOUR[:1]), 1_000_000_000)
    update(tracker, look(FOUR[:2]), 3_500_000_000)
    assert tracker.ages(4_000_000_000) == {1: 3.0, 2: 0.5}


def test_relabelling_leaves_out_what_was_not_tracked():
    tracker, moment = Tracker(), look(FOUR)
    fewer = ViewObjects(*(values[1:] for values in moment.objects["top"].fields))
    tracker.update(moment.objects | {"top": fewer}, 0, moment.images, moment.masks)
    ids = tracker.track_ids["top"]
    assert set(ids) == {2, 3, 4}
    assert len(set(ids.values())) == 3


def test_an_empty_table_and_a_table_that_empties():
    tracker = Tracker()
    assert [len(o) for o in update(tracker, EMPTY).values()] == [0, 0]
    first, empty, again = follow([look(FOUR), EMPTY, look(FOUR)], tracker)
    assert empty == {"front": {}, "top": {}}
    assert first == again


def test_reset_forgets():
    tracker = Tracker()
    update(tracker, look(FOUR), 100)
    tracker.reset()
    assert tracker.ages(0) == {}
    assert update(tracker, look(FOUR[:1]), 0)["top"].track_ids.tolist() == [1]


def test_used_up_ids_are_refused_and_nothing_changes(monkeypatch):
    monkeypatch.setattr(tracking, "MAX_TRACK_ID", 2)
    tracker = Tracker()
    update(tracker, look(FOUR[:2]))
    with pytest.raises(VimaError, match="2 new objects after id 2; valid: up to 2") as caught:
        update(tracker, look(FOUR), 9)
    assert caught.value.code == "TRACK_IDS_USED_UP"
    assert update(tracker, look(FOUR[:2]), 5)["top"].track_ids.tolist() == [1, 2]


def test_ids_fit_the_message():
    assert np.iinfo(np.uint32).max == tracking.MAX_TRACK_ID


@pytest.mark.parametrize("what", ["objects", "images", "masks"])
def test_a_missing_view_is_refused(what):
    moment = look(FOUR)
    parts = {"objects": moment.objects, "images": moment.images, "masks": moment.masks}
    parts[what] = {"top": parts[what]["top"]}
    with pytest.raises(VimaError, match=r"views \['top'\]; valid: front, top"):
        Tracker().update(parts["objects"], 0, parts["images"], parts["masks"])


def test_other_input_is_refused(monkeypatch):
    moment = look(FOUR)
    objects, images, masks = moment.objects, moment.images, moment.masks
    tracker = Tracker()
    with pytest.raises(VimaError, match="image is uint8"):
        tracker.update(objects, 0, images | {"top": images["top"][:9]}, masks)
    with pytest.raises(VimaError, match="mask is float64"):
        tracker.update(objects, 0, images, masks | {"top": np.zeros((128, 256))})
    with pytest.raises(VimaError, match=r"objects \[3\] have no pixel"):
        tracker.update(
            objects,
            0,
            images,
            masks | {"top": np.where(masks["top"] == 3, 0, masks["top"]).astype(np.uint16)},
        )
    for ids in ([1, 1, 2, 3], [0, 1, 2, 3], [1, 2, 3, 70_000]):
        twice = ViewObjects(*objects["top"].fields[:3], np.array(ids))
        with pytest.raises(VimaError, match="in the top view; valid: 1 to 65535, each once"):
            tracker.update(objects | {"top": twice}, 0, images, masks)
    monkeypatch.setattr(tracking, "MAX_OBJECTS", 3)
    with pytest.raises(VimaError, match="4 objects in the front view; valid: up to 3"):
        tracker.update(objects, 0, images, masks)


def test_a_stamp_that_goes_back_is_refused():
    tracker = Tracker()
    update(tracker, look(FOUR), 10)
    update(tracker, look(FOUR), 10)
    with pytest.raises(VimaError, match="9 ns is before the last one, 10 ns") as caught:
        update(tracker, look(FOUR), 9)
    assert caught.value.code == "INVALID_STAMP"


@pytest.mark.parametrize(
    "wrong", [{"max_missed": -1}, {"limit": float("nan")}, {"memory": 1.5}, {"colour": -0.1}]
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(VimaError, match=f"TrackerSettings.{next(iter(wrong))} is"):
        TrackerSettings(**wrong)
