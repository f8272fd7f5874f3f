import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vima_ros.policy.tokenizer import PromptTokenizer
from vima_ros.prompt.assembly import assemble
from vima_ros.prompt.preview import CROP, MARGIN, ROW, WIDTH, draw_prompt
from vima_ros.specs import AssetKind, PromptImage, ViewImages, ViewObjects

RED, GREEN, BLUE = (250, 10, 20), (10, 240, 30), (30, 20, 230)
TOKENIZER = PromptTokenizer()


def objects(*colours):
    crops = np.zeros((len(colours), 3, 32, 32), np.uint8)
    for crop, colour in zip(crops, colours, strict=True):
        crop[:] = np.array(colour)[:, None, None]
    count = len(colours)
    boxes = np.tile([20, 20, 10, 10], (count, 1))
    return ViewObjects(boxes, crops, np.ones(count, np.float32), np.arange(count))


def drawn(text, **images):
    return draw_prompt(assemble(text, images, TOKENIZER.encode), TOKENIZER.piece)


def where(canvas, colour):
    """Centre of the pixels of that colour: row, column; and how many there are."""
    rows, columns = np.nonzero((canvas == colour).all(axis=2))
    return rows.mean(), columns.mean(), len(rows)


def test_crops_stand_in_reading_order_front_above_top():
    canvas = drawn(
        "Put the {a} into the {b}.",
        a=PromptImage("a", AssetKind.OBJECT, objects(RED), objects(GREEN)),
        b=PromptImage("b", AssetKind.OBJECT, objects(BLUE), ViewObjects.empty()),
    )
    assert canvas.shape[1:] == (WIDTH, 3)
    assert canvas.dtype == np.uint8
    red, green, blue = (where(canvas, colour) for colour in (RED, GREEN, BLUE))
    assert red[0] < green[0]
    assert abs(red[1] - green[1]) < 1
    assert blue[1] > red[1] + CROP
    assert abs(blue[0] - red[0]) < 1
    assert min(red[2], green[2], blue[2]) > 0.8 * CROP**2


def test_a_line_is_as_high_as_two_crops_and_their_name():
    image = PromptImage("a", AssetKind.OBJECT, objects(RED), objects(GREEN))
    assert drawn("Put {a}", a=image).shape == (16 + 2 * 64 + 44 + 16, 1024, 3)


def test_words_stand_between_the_images():
    image = PromptImage("a", AssetKind.OBJECT, objects(RED), objects(GREEN))
    alone, with_words = drawn("{a}", a=image), drawn("Put the red {a}", a=image)
    assert where(with_words, RED)[1] > where(alone, RED)[1] + 80
    dark = (with_words[:, :150] < 60).all(axis=2)
    assert dark.sum() > 200


def test_what_does_not_fit_goes_to_the_next_line_and_nothing_is_cut_off():
    scene = PromptImage("s", AssetKind.SCENE, objects(*[RED] * 5), objects(*[GREEN] * 5))
    canvas = drawn("First {s} then {s} and then {s} and last {s}.", s=scene)
    assert canvas.shape[0] > 2 * ROW
    assert where(canvas, RED)[2] > 4 * 5 * 0.8 * CROP**2


def test_further_crops_are_counted():
    many = PromptImage("s", AssetKind.SCENE, objects(*[RED] * 40), objects(RED))
    assert where(drawn("{s}", s=many), RED)[2] < 8 * CROP**2


def test_text_of_any_script_is_drawn():
    image = PromptImage("a", AssetKind.OBJECT, objects(RED), objects(GREEN))
    assert drawn("Ж 積 \U0001f600 {a}", a=image).any()


PAPER, INK, FAINT = (255, 255, 255), (20, 20, 20), (140, 140, 140)


def test_the_drawing_keeps_its_colours_and_frames():
    image = PromptImage("a", AssetKind.OBJECT, objects(RED), objects(GREEN))
    canvas = drawn("Put {a}", a=image)
    assert where(canvas, INK)[2] > 50
    front, top = where(canvas, (40, 110, 200)), where(canvas, (200, 110, 40))
    for frame, crop in ((front, where(canvas, RED)), (top, where(canvas, GREEN))):
        assert frame[2] + crop[2] == CROP**2
        assert frame[:2] == crop[:2]
    rows = np.flatnonzero((canvas == FAINT).all(axis=2).sum(axis=1) > CROP)
    assert rows.tolist() == [MARGIN + 1, MARGIN + ROW - 12]  # of the box around the image


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["Put", "the", "{s}", "{a}", "wonderful"]), max_size=25))
def test_nothing_is_drawn_into_the_margins(words):
    images = {
        "s": PromptImage("s", AssetKind.SCENE, objects(*[RED] * 5), objects(BLUE)),
        "a": PromptImage("a", AssetKind.OBJECT, objects(RED), objects(GREEN)),
    }
    used = {name: image for name, image in images.items() if f"{{{name}}}" in words}
    canvas = drawn(" ".join(["Put", *words]), **used)
    inside = canvas[MARGIN:-MARGIN, MARGIN : WIDTH - MARGIN]
    assert (canvas != PAPER).sum() == (inside != PAPER).sum()


def test_whole_images_stand_as_they_are_front_above_top():
    def whole(colour):
        return np.broadcast_to(np.array(colour, np.uint8)[:, None, None], (3, 64, 128))

    empty = ViewObjects.empty()
    images = ViewImages(whole(RED), whole(GREEN))
    canvas = drawn("Do {a}", a=PromptImage("a", AssetKind.SCENE, empty, empty, images))
    red, green = where(canvas, RED), where(canvas, GREEN)
    assert red[0] < green[0]
    assert abs(red[1] - green[1]) < 1
    assert min(red[2], green[2]) > 0.8 * 2 * CROP**2
