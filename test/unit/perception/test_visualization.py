import cv2
import numpy as np
import pytest

from vima_ros.decision_attention import AttentionToken, DecisionAttention
from vima_ros.errors import VimaError
from vima_ros.perception.visualization import (
    draw_action,
    draw_attention,
    draw_objects,
    object_color,
)
from vima_ros.specs import ViewObjects

IMAGE = np.full((128, 256, 3), 47, np.uint8)


def one_object(box, track_id=4):
    return ViewObjects([box], np.zeros((1, 3, 32, 32), np.uint8), [0.5], [track_id])


def test_without_objects_the_image_is_only_enlarged():
    image = np.random.default_rng(0).integers(0, 256, IMAGE.shape).astype(np.uint8)
    drawn = draw_objects(image, ViewObjects.empty(), scale=2)
    assert drawn.shape == (256, 512, 3)
    for row, column in ((0, 0), (1, 0), (0, 1), (1, 1)):
        np.testing.assert_array_equal(drawn[row::2, column::2], image)


@pytest.mark.parametrize("scale", [1, 3, 4])
def test_the_box_goes_around_the_object(scale):
    drawn = draw_objects(IMAGE, one_object([100, 60, 20, 11]), scale)
    inside = (slice(50 * scale, 71 * scale), slice(95 * scale, 107 * scale))  # 21 x 12 px
    colour = object_color(4)
    edge = drawn[inside]
    assert (edge[0] == colour).all()
    assert (edge[-1] == colour).all()
    assert (edge[:, 0] == colour).all()
    assert (edge[:, -1] == colour).all()
    assert (edge[1:-1, 1:-1] == 47).all()
    outside = drawn.copy()
    outside[inside] = 47
    assert (outside[: 49 * scale] != 47).any()  # the label, above
    assert (outside[71 * scale :] == 47).all()


@pytest.mark.parametrize("box", [[0, 0, 0, 0], [255, 127, 0, 0], [128, 64, 127, 255]])
def test_a_label_at_the_edge_stays_in_the_image(box):
    drawn = draw_objects(IMAGE, one_object(box))
    assert (drawn != 47).any(-1).sum() > 100


@pytest.mark.parametrize("scale", [2, 4])
def test_a_label_stands_five_pixels_above_its_box(scale, monkeypatch):
    written = []
    monkeypatch.setattr(cv2, "putText", lambda _, words, at, *args: written.append(at))
    draw_objects(IMAGE, one_object([100, 60, 20, 11]), scale)
    assert set(written) == {(95 * scale, 50 * scale - 5)}


def test_nearby_ids_have_different_colours():
    colours = np.array([object_color(k) for k in range(8)])
    apart = np.abs(colours[:, None] - colours).max(-1) + 255 * np.eye(8)
    assert apart.min() > 40


def test_the_arrow_starts_at_the_pick_and_ends_at_the_place():
    canvas = np.zeros((384, 768, 3), np.uint8)
    drawn = draw_action(canvas, (20, 30), (200, 90))
    assert (canvas == 0).all()
    ring = drawn[91 - 6, 61]  # 6 px above the middle of pixel (20, 30)
    assert ring[1] > ring[0]
    assert drawn[181, 331].any()  # half way
    assert not drawn[300:, :300].any()
    assert not drawn[:100, 500:].any()


@pytest.mark.parametrize("scale", [2, 3, 5])
def test_a_label_stands_close_beside_the_ring_of_its_point(scale, monkeypatch):
    written = {}
    monkeypatch.setattr(cv2, "putText", lambda _, words, at, *args: written.update({words: at}))
    points = {"pick": (20, 30), "place": (70, 50)}
    draw_action(np.zeros((128 * scale, 256 * scale, 3), np.uint8), *points.values(), scale)
    for label, point in points.items():
        x, y = np.subtract(written[label], np.multiply(point, scale) + scale / 2)
        assert 0 < x - 2 * scale <= 6
        assert -3 * scale <= y < 0


def test_points_far_outside_are_cut_off():
    canvas = np.zeros((384, 768, 3), np.uint8)
    assert draw_action(canvas, (1e12, 0), (10, 10)).any()


@pytest.mark.parametrize("point", [(np.nan, 1), (np.inf, 1), (1, 2, 3), ("a", "b")])
def test_points_that_are_not_points_are_refused(point):
    with pytest.raises(VimaError, match="finite x, y"):
        draw_action(np.zeros((10, 10, 3), np.uint8), point, (1, 1))


def test_a_scale_below_one_is_refused():
    with pytest.raises(VimaError, match="scale is 0"):
        draw_objects(IMAGE, ViewObjects.empty(), 0)


def two_objects(track_ids=(4, 9)):
    boxes = [[60, 60, 20, 21], [180, 70, 9, 31]]
    crops = np.zeros((2, 3, 32, 32), np.uint8)
    return ViewObjects(boxes, crops, [0.93, 0.5], track_ids)


def test_a_mask_is_tinted_in_the_objects_colour_and_nothing_else_is():
    mask = np.zeros((128, 256), np.int64)
    mask[50:70, 50:72], mask[66:75, 165:196], mask[100:110, 5:15] = 4, 9, 77
    drawn = draw_objects(IMAGE, two_objects(), mask=mask)
    for row, column, track_id in ((60, 60, 4), (70, 180, 9)):
        tinted = drawn[3 * row + 1, 3 * column + 1].astype(float)
        expected = 0.65 * 47 + 0.35 * np.array(object_color(track_id))
        np.testing.assert_allclose(tinted, expected, atol=1)
    assert (drawn[300:330, 15:45] == 47).all()


@pytest.mark.parametrize("mask", [np.zeros((128, 256)), np.zeros((9, 9), int), "ids"])
def test_another_mask_is_refused(mask):
    with pytest.raises(VimaError, match=r"valid: integers \(128, 256\)"):
        draw_objects(IMAGE, two_objects(), mask=mask)


def test_an_age_is_written_where_it_is_known():
    plain = draw_objects(IMAGE, two_objects())
    aged = draw_objects(IMAGE, two_objects(), ages_s={4: 12.3, 88: 1.0})
    changed = (plain != aged).any(-1)
    assert changed[:, :384].any()
    assert not changed[:, 384:].any()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0s"), (9.94, "9.9s"), (9.96, "10s"), (119, "119s"), (121, "2min"), (7200, "2h")],
)
def test_an_age_is_written_in_its_largest_unit_of_at_least_two(seconds, text, monkeypatch):
    written = []
    monkeypatch.setattr(cv2, "putText", lambda _, words, *args: written.append(words))
    draw_objects(IMAGE, one_object([100, 60, 20, 11]), ages_s={4: seconds})
    assert {f"4 0.50 {text}"} == set(written)


def test_the_title_is_a_bar_over_the_top_edge():
    image = np.full((128, 256, 3), 200, np.uint8)
    titled = draw_objects(image, ViewObjects.empty(), title="OK  front", detail="23 ms")
    assert titled.shape == (384, 768, 3)
    changed = (titled != 200).any(-1)
    assert changed[:20].mean() > 0.99
    assert not changed[20:].any()
    left_only = draw_objects(image, ViewObjects.empty(), title="OK  front")
    assert (titled[:, 600:] != left_only[:, 600:]).any()
    assert (titled[:, :600] == left_only[:, :600]).all()


def test_a_detail_without_room_is_left_out():
    long = draw_objects(IMAGE, ViewObjects.empty(), title="x" * 100, detail="y" * 40)
    assert (long == draw_objects(IMAGE, ViewObjects.empty(), title="x" * 100)).all()


def test_labels_of_neighbours_do_not_cover_each_other():
    boxes = [[120 + 8 * k, 60, 6, 6] for k in range(4)]
    crops = np.zeros((4, 3, 32, 32), np.uint8)
    drawn = draw_objects(IMAGE, ViewObjects(boxes, crops, [0.9] * 4, range(1, 5)))
    alone = [
        draw_objects(IMAGE, ViewObjects([box], crops[:1], [0.9], [k + 1]))
        for k, box in enumerate(boxes)
    ]
    black = (drawn == 0).all(-1).sum()
    assert black > 0.95 * sum((image == 0).all(-1).sum() for image in alone)


def attention_of(objects, action):
    """Attention of two objects of the front view to a word and two images; (2, 3) and (3,)."""
    return DecisionAttention(
        (AttentionToken("Put", 0), AttentionToken("{a}", 1), AttentionToken("{b}", 2)),
        (
            AttentionToken(view="front", box=(60, 70, 20, 20)),
            AttentionToken(view="front", slot=1, box=(200, 70, 20, 20)),
        ),
        np.array(objects)[None, None],
        np.array(action)[None, None],
        np.array([0.25, 0.5])[None, None],
    )


FRAMES = {"front": IMAGE, "top": IMAGE}


def test_a_word_stands_above_its_bar_and_its_percentage_below(monkeypatch):
    written = {}
    monkeypatch.setattr(cv2, "putText", lambda _, words, at, *args: written.update({words: at}))
    drawn = draw_attention(FRAMES, attention_of([[0.1, 0.8, 0.1]] * 2, [0.2, 0.5, 0.3]), 2)
    bar = np.flatnonzero((drawn[:58] == 190).all(-1).any(1))
    assert (bar.min(), bar.max()) == (28, 34)
    assert written["Put"][1] == written["{a}"][1] == bar.min() - 8
    assert written["20%"][1] == written["50%"][1] == bar.max() + 16
    assert written["Put"][0] == written["20%"][0] < written["{a}"][0]


def edge_colour(drawn, x):
    """Colour of the left edge of a box 20 px wide around ``x``, in a front view enlarged twice."""
    return tuple(drawn[-256 + 2 * 70, 2 * (x - 10)].tolist())


def test_objects_have_the_colour_of_the_image_that_they_attend_to_more_than_others():
    first, second = object_color(0), object_color(1)
    drawn = draw_attention(FRAMES, attention_of([[0.1, 0.8, 0.1], [0.5, 0.1, 0.4]], [1, 0, 0]), 2)
    assert drawn.shape[1] == 2 * 512
    assert [edge_colour(drawn, x) for x in (60, 200)] == [first, second]
    drawn = draw_attention(FRAMES, attention_of([[0.1, 0.1, 0.8], [0.5, 0.2, 0.3]], [1, 0, 0]), 2)
    assert [edge_colour(drawn, x) for x in (60, 200)] == [second, first]
    drawn = draw_attention(FRAMES, attention_of([[0.4, 0.3, 0.3]] * 2, [1, 0, 0]), 2)
    grey = edge_colour(drawn, 60)
    assert grey[0] == grey[1] == grey[2] == edge_colour(drawn, 200)[0]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_bar_shows_how_much_the_action_attends_to_an_image(share):
    drawn = draw_attention(FRAMES, attention_of([[0.2, 0.4, 0.4]] * 2, [0, share, 1 - share]), 2)
    strip = drawn[: len(drawn) - 256]
    bar = strip[31]  # within the bars
    lengths = [(bar == object_color(k)).all(-1).sum() for k in (0, 1)]
    assert abs(lengths[0] - share * sum(lengths)) <= 2
    assert sum(lengths) > 20


def test_a_long_prompt_is_wrapped():
    short = attention_of([[0.2, 0.4, 0.4]] * 2, [0, 1, 0])
    words = tuple(AttentionToken("word", k) for k in range(60))
    long = DecisionAttention(
        words, short.observed, np.ones((1, 1, 2, 60)), np.ones((1, 1, 60)), short.action_objects
    )
    assert len(draw_attention(FRAMES, long, 2)) > len(draw_attention(FRAMES, short, 2))


def test_tokens_of_both_views_have_no_box():
    placed = attention_of([[0.2, 0.4, 0.4]] * 2, [0, 1, 0])
    whole = DecisionAttention(
        placed.prompt,
        (AttentionToken(), AttentionToken(slot=1)),
        *(placed.objects, placed.action, placed.action_objects),
    )
    drawn = draw_attention(FRAMES, whole, 2)
    assert (drawn[-200:] == 47).all()  # below the titles
    assert (draw_attention(FRAMES, placed, 2)[-200:] != 47).any()
