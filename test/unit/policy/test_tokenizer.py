"""The tokenizer: words to ids and back, placeholders in their place."""

import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from vima_ros.errors import VimaError
from vima_ros.policy.tokenizer import (
    OWN_TOKENIZER,
    T5,
    PromptTokenizer,
    TokenizerIdentity,
    bundled_tokenizer,
)
from vima_ros.training.tokenizer_training import TEMPLATES, train

END = 1


@pytest.fixture(scope="module")
def tokenizer():
    return PromptTokenizer()


@pytest.fixture(scope="module")
def raw():
    return Tokenizer.from_file(str(OWN_TOKENIZER))


def pieces(raw, tokens):
    return [t if isinstance(t, str) else raw.id_to_token(t) for t in tokens]


def test_the_committed_file_is_what_training_gives():
    assert OWN_TOKENIZER.read_text(encoding="utf-8") == train().to_str(pretty=True)


def test_words_are_split_and_numbered_as_t5_does(raw, tokenizer):
    assert [raw.token_to_id(token) for token in ("<pad>", "</s>", "<unk>")] == [0, 1, 2]
    assert 1000 < tokenizer.identity.words < 2000
    assert raw.encode("Put the block into the bowl.").tokens == [
        *("▁Put", "▁the", "▁block", "▁into", "▁the", "▁bowl", ".", "</s>")
    ]


@settings(max_examples=300, derandomize=True)
@given(text=st.text())
def test_any_text_comes_back(raw, text):
    """Up to what the normaliser changes: compatibility characters and the amount of space."""
    want = raw.normalizer.normalize_str(text)
    got = raw.encode(text)
    for special in ("<pad>", "</s>", "<unk>"):
        if special in want:
            return
    assert raw.decode(got.ids) == want
    assert raw.token_to_id("<unk>") not in got.ids


@pytest.mark.parametrize("text", ["<0x41>", "▁", "a▁b", "é", "日本", "\0", "🤖", "{", "a\u00a0b"])
def test_odd_text_comes_back(raw, text):
    assert raw.decode(raw.encode(text).ids) == raw.normalizer.normalize_str(text)


@settings(max_examples=200, derandomize=True)
@given(text=st.text())
def test_the_end_comes_last_and_ids_fit_the_table(tokenizer, text):
    tokens = tokenizer.encode(text, [])
    assert tokens[-1] == END
    assert all(type(token) is int and 0 <= token < tokenizer.identity.words for token in tokens)
    assert tokenizer.encode(text, []) == tokens


@pytest.mark.parametrize("template", TEMPLATES)
def test_placeholders_keep_their_order(raw, tokenizer, template):
    names = re.findall(r"\{(\w+)\}", template)
    tokens = tokenizer.encode(template, sorted(set(names)))
    assert [token for token in tokens if isinstance(token, str)] == names
    assert "<0x" not in "".join(pieces(raw, tokens))


@settings(max_examples=100, derandomize=True)
@given(
    parts=st.lists(
        st.sampled_from(["{a}", "{a_1}", "{b}", "put", "the", ".", ",", '"', "Ünder"]), max_size=8
    )
)
def test_placeholders_are_found_between_any_other_words(tokenizer, parts):
    names = [part.strip("{}") for part in parts if part.startswith("{")]
    tokens = tokenizer.encode(" ".join(parts), ["b", "a", "a_1"])
    assert [token for token in tokens if isinstance(token, str)] == names


def test_a_placeholder_ends_a_word_and_what_follows_begins_one(raw, tokenizer):
    """A placeholder ends a word: what follows begins one, as with T5's tokenizer."""
    tokens = tokenizer.encode("Put {a} into {b}.", ["a", "b"])
    assert pieces(raw, tokens) == ["▁Put", "a", "▁into", "b", "▁", ".", "</s>"]
    assert tokenizer.encode("{a}{b}", ["a", "b"]) == ("a", "b", END)


def test_placeholders_of_one_prompt_are_text_in_the_next():
    tokenizer = PromptTokenizer()  # its own, so that no other test has taught it a name
    plain = tokenizer.encode("Put {a} here", [])
    assert tokenizer.encode("Put {a} here", ["a"]) != plain
    for i in range(40):
        assert tokenizer.encode("{x}", [f"y{i}", "x"]) == ("x", END)
    for names in ([], ["x"]):
        assert tokenizer.encode("Put {a} here", names) == plain


@pytest.mark.parametrize("text", ["put{a}", "{a}s", "{a}_", "3{a}", "{a} and the{a}", "é{a}"])
def test_a_placeholder_glued_to_a_word(tokenizer, text):
    with pytest.raises(VimaError, match=r"\{a\} is glued") as error:
        tokenizer.encode(text, ["a"])
    assert error.value.code == "BAD_PLACEHOLDER"


CONTROL = ("<pad>", "</s>", "<unk>", "<extra_id_0>", "<extra_id_99>")


def as_t5(path):
    """A small tokenizer made as T5's: a unigram model whose pieces include the control tokens."""
    pieces = [
        *CONTROL[:3],
        *(f"▁{word}" for word in ("put", "aside", "it", "")),
        *"pads/><unk_xtrei09",
    ]
    scores = [0.0] * 3 + [-3.0 - 0.1 * i for i in range(len(pieces) - 3)]
    vocabulary = [*zip(pieces, scores, strict=True), *((name, 0.0) for name in CONTROL[3:])]
    made = Tokenizer(models.Unigram(list(dict(vocabulary).items()), 2))
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", END)]
    )
    made.add_special_tokens(list(CONTROL))
    made.save(str(path))
    return PromptTokenizer(path)


@pytest.mark.parametrize("kind", ["ours", "as T5"])
@pytest.mark.parametrize("name", [*CONTROL, "＜/s＞", "</s></s>", "</s><pad>"])
@pytest.mark.parametrize("text", ["{}", "put {} aside", "put{}", "{}{{a}} it", "{{a}} {}", " {} "])
def test_a_control_token_typed_as_text_is_text(tokenizer, tmp_path, kind, name, text):
    tokenizer = tokenizer if kind == "ours" else as_t5(tmp_path / "t5.json")
    *words, end = tokenizer.encode(text.format(name).replace("}<", "} <"), ["a"])
    assert end == END
    control = [w for w in words if isinstance(w, int) and tokenizer.piece(w) in CONTROL]
    assert control == []
    typed = "".join(tokenizer.piece(w) for w in words if isinstance(w, int)).replace("▁", "")
    assert unicodedata.normalize("NFKC", name) in typed


def test_ordinary_text_is_cut_as_the_file_says(raw, tokenizer):
    for template in TEMPLATES:
        text = template.replace("{", "(").replace("}", ")")
        assert list(tokenizer.encode(text, [])) == raw.encode(text).ids


def test_half_a_surrogate_pair_is_refused(tokenizer):
    with pytest.raises(VimaError) as error:
        tokenizer.encode("put \ud800 there", [])
    assert error.value.code == "BAD_TEXT"


def test_a_tokenizer_is_loaded_from_a_path(tmp_path, tokenizer):
    path = tmp_path / "copy"
    path.write_bytes(OWN_TOKENIZER.read_bytes())
    text = "Rotate the {a} 90 degrees."
    assert PromptTokenizer(str(path)).encode(text, ["a"]) == tokenizer.encode(text, ["a"])


def test_a_tokenizer_is_known_by_its_pieces_in_order(tmp_path, tokenizer):
    """However its file is written; the ids of two pieces exchanged make another one."""
    document = json.loads(OWN_TOKENIZER.read_text())
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(document | {"truncation": None}, indent=7))
    assert PromptTokenizer(path).identity == tokenizer.identity == bundled_tokenizer()
    words = document["model"]["vocab"]
    words["▁put"], words["▁the"] = words["▁the"], words["▁put"]
    path.write_text(json.dumps(document))
    other = PromptTokenizer(path).identity
    assert other.words == tokenizer.identity.words
    assert other.sha256 != tokenizer.identity.sha256


def test_a_tokenizer_is_named_for_people(tokenizer):
    assert str(tokenizer.identity).startswith("the bundled one, 1347 words, sha256 b6321bbd")
    assert str(T5).startswith("T5's, 32100 words, sha256 0c86168e")
    assert str(TokenizerIdentity("ab" * 32, 7)) == f"7 words, sha256 {'ab' * 32}"


@pytest.mark.parametrize("kind", ["missing", "broken", "no end"])
def test_a_tokenizer_that_cannot_be_used(tmp_path: Path, kind):
    path = tmp_path / "tokenizer.json"
    if kind == "broken":
        path.write_text("{")
    if kind == "no end":
        Tokenizer(models.BPE({"a": 0}, [])).save(str(path))
    with pytest.raises(VimaError) as error:
        PromptTokenizer(path)
    assert error.value.code == "BAD_TOKENIZER"
