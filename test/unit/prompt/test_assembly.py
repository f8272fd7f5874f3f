import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vima_ros.errors import VimaError
from vima_ros.prompt.assembly import (
    MAX_TEXT_LENGTH,
    assemble,
    find_placeholders,
    match_assets,
)
from vima_ros.specs import MAX_PROMPT_TOKENS, AssetKind, PromptImage, ViewObjects

names = st.from_regex(r"[A-Za-z0-9_]{1,64}", fullmatch=True)
words = st.text(st.characters(exclude_characters="{}", exclude_categories=["Cs"]), max_size=15)


def view(count):
    crops = np.zeros((count, 3, 32, 32), np.uint8)
    return ViewObjects(np.ones((count, 4), int), crops, np.ones(count), np.arange(count))


VIEWS = [view(count) for count in range(5)]


def image(name="a", front=1, top=1):
    return PromptImage(name, AssetKind.OBJECT, VIEWS[front], VIEWS[top])


def encode(text, names):
    """A word's id is its length; the last id 1 ends the prompt."""
    pieces = re.findall(r"\{\w+\}|\w+", text)
    return [p[1:-1] if p[0] == "{" else len(p) for p in pieces] + [1]


def refusal(function, *arguments):
    with pytest.raises(VimaError) as caught:
        function(*arguments)
    return caught.value


# --- placeholders


@given(st.lists(st.tuples(words, names), min_size=1, max_size=8), words)
def test_placeholders_come_out_in_reading_order_each_once(pieces, end):
    text = "".join(word + "{" + name + "}" for word, name in pieces) + end
    assume(len(text) <= MAX_TEXT_LENGTH)
    assert find_placeholders(text) == tuple(dict.fromkeys(name for _, name in pieces))


@given(st.text("ab {}_-\n", max_size=30))
def test_any_text_gives_valid_names_or_a_coded_refusal(text):
    found, code = (), ""
    try:
        found = find_placeholders(text)
    except VimaError as error:
        code = error.code
    assert (code == "") == bool(found)
    assert code in {"", "EMPTY_TEXT", "BAD_PLACEHOLDER", "NO_PLACEHOLDER"}
    assert all(re.fullmatch("[ab_]+", name) for name in found)
    assert code or text.count("{") == text.count("}") >= len(found)


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        ("", "EMPTY_TEXT", "no text"),
        (" \t\n", "EMPTY_TEXT", "no text"),
        ("Put it there.", "NO_PLACEHOLDER", "Put it there."),
        ("Put {} there.", "BAD_PLACEHOLDER", "{}"),
        ("Put {red block} there.", "BAD_PLACEHOLDER", "{red block}"),
        ("Put {a-b} there.", "BAD_PLACEHOLDER", "{a-b}"),
        ("Put {a\n} there.", "BAD_PLACEHOLDER", "{a\n}"),
        ("Put {bl\u00f6ck} there.", "BAD_PLACEHOLDER", "{bl\u00f6ck}"),
        ("Put {a} into {b", "BAD_PLACEHOLDER", "{b"),
        ("Put a} into {b}", "BAD_PLACEHOLDER", "Put a} into {b}"),
        ("Put {{a}} there.", "BAD_PLACEHOLDER", "{{a}}"),
        ("Put {" + "a" * 65 + "} there.", "BAD_PLACEHOLDER", "a" * 65),
    ],
)
def test_a_bad_text_is_refused_naming_what_was_got(text, code, named):
    error = refusal(find_placeholders, text)
    assert error.code == code
    assert named in str(error)
    assert "valid: " in str(error)


def test_a_thousand_characters_and_not_one_more():
    text = "{a}".ljust(1000, "x")
    assert find_placeholders(text) == ("a",)
    error = refusal(find_placeholders, text + "x")
    assert error.code == "TEXT_TOO_LONG"
    assert "1001" in str(error)
    assert "1000" in str(error)


def test_a_name_of_64_characters_is_the_longest():
    assert find_placeholders("{" + "a" * 64 + "}") == ("a" * 64,)


# --- images


@pytest.mark.slow
@given(st.lists(names, min_size=1, max_size=6, unique=True), st.randoms(), names)
def test_each_placeholder_needs_one_image_and_each_image_a_placeholder(wanted, random, extra):
    sent = random.sample(wanted, len(wanted))
    match_assets(wanted, sent)
    lost = sent.pop()
    error = refusal(match_assets, wanted, sent)
    assert error.code == "UNKNOWN_PLACEHOLDER"
    assert str([lost]) in str(error)
    twice = [*sent, lost, lost]
    error = refusal(match_assets, wanted, twice)
    assert error.code == "DUPLICATE_ASSET"
    assert str([lost]) in str(error)
    assume(extra not in wanted)
    error = refusal(match_assets, wanted, [*sent, lost, extra])
    assert error.code == "MISSING_PLACEHOLDER"
    assert str([extra]) in str(error)


# --- reading order and length


@given(st.lists(st.sampled_from(["{a}", "{b}", "{c}", "put", "on", "slowly"]), min_size=1))
def test_words_and_images_stay_in_reading_order(pieces):
    images = {name: image(name) for name in "abc"}
    prompt = assemble(" ".join(pieces), images, encode)
    want = [images[p[1]] if p[0] == "{" else len(p) for p in pieces]
    assert prompt.tokens == (*want, 1)
    assert prompt.text == " ".join(pieces)


def test_the_tokenizer_is_given_the_text_and_the_names():
    asked = []

    def listen(text, names):
        asked.append((text, list(names)))
        return [1]

    assemble("Put {b} on {a}.", {"b": image("b"), "a": image("a")}, listen)
    assert asked == [("Put {b} on {a}.", ["b", "a"])]


@given(
    st.integers(0, 260),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=3),
    st.integers(1, 30),
)
def test_an_image_counts_as_the_fullest_one_in_each_view(words, counts, count):
    """Images are padded to the largest count of each view."""
    images = {str(i): image(str(i), *count) for i, count in enumerate(counts)}
    tokens = [5] * words + [str(i % len(counts)) for i in range(count)]
    fullest = max(front for front, _ in counts) + max(top for _, top in counts)
    length = words + count * fullest
    if length <= MAX_PROMPT_TOKENS:
        assert len(assemble("", images, lambda *_: tokens).tokens) == words + count
    else:
        error = refusal(assemble, "", images, lambda *_: tokens)
        assert error.code == "PROMPT_TOO_LONG"
        for named in (f"{length} tokens", f"{words} words", f"{count} images", str(fullest)):
            assert named in str(error)


def test_256_tokens_and_not_one_more():
    images = {"a": image("a", front=3, top=1), "b": image("b", front=0, top=2)}
    tokens = [7] * 246 + ["a", "b"]  # 246 words and two images of 3 + 2 slots
    assert len(assemble("", images, lambda *_: tokens).tokens) == 248
    error = refusal(assemble, "", images, lambda *_: [7, *tokens])
    assert error.code == "PROMPT_TOO_LONG"
    assert "257 tokens" in str(error)
    assert "256" in str(error)


def test_a_whole_image_counts_as_the_tokens_that_the_policy_makes_of_it():
    images = {"a": image(front=0, top=0)}
    limit = {"image_tokens": 16, "max_tokens": 20}  # with 3 words and the end
    assert len(assemble("x x {a} x", images, encode, **limit).tokens) == 5
    with pytest.raises(VimaError, match=r"21 tokens .* of 16 tokens.*; valid: up to 20"):
        assemble("x x {a} x x", images, encode, **limit)
