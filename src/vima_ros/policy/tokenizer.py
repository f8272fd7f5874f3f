"""Conversion of prompt text to word ids and placeholders; needs ``tokenizers`` only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from tokenizers import AddedToken, Tokenizer

from vima_ros.errors import VimaError
from vima_ros.files import sha256_of
from vima_ros.paths import expand
from vima_ros.weight_files import JSON, file_kind

OWN_TOKENIZER = Path(__file__).with_name("tokenizer.json")
END = "</s>"


@dataclass(frozen=True)
class TokenizerIdentity:
    """Identity of a tokenizer: which piece of a text each word id, a row of the embedding, is.

    ``sha256``: of the pieces in order, as a JSON list. The hash of its tokenizer.json would not
    do, for T5's is published in several forms (padding, settings of later libraries) with the same
    pieces. ``words``: their number.
    """

    sha256: str
    words: int

    def __str__(self) -> str:
        name = {T5: "T5's, ", bundled_tokenizer(): "the bundled one, "}.get(self, "")
        return f"{name}{self.words} words, sha256 {self.sha256}"


# The pieces of T5's SentencePiece model (spiece.model, sha256 d60acb128cf7…) and 100 sentinels.
T5 = TokenizerIdentity("0c86168e9b4d089dfc574f6c0ea2d2939a1ce3f669eb6c723d6a87ec2c298720", 32100)


@cache
def bundled_tokenizer() -> TokenizerIdentity:
    """Return the identity of the tokenizer that comes with this package."""
    return PromptTokenizer().identity


@cache
def number_words(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """Return the word ids of numbers in the bundled tokenizer.

    Raises VimaError (BAD_CONFIG) for a number that is not a single word there.
    """
    tokenizer = PromptTokenizer()
    pieces = {number: tokenizer.encode(str(number), ())[:-1] for number in numbers}
    split = [str(number) for number, piece in pieces.items() if len(piece) != 1]
    if split:
        raise VimaError(
            "BAD_CONFIG",
            f"{', '.join(split)}: not one word of the bundled tokenizer; valid: numbers that are, "
            "such as 30, 60, 90, 120 and 150",
        )
    return tuple(int(piece[0]) for piece in pieces.values())


class PromptTokenizer:
    """A Hugging Face tokenizer file; by default this package's own small one.

    ``path``: a ``tokenizer.json``, or the name of a model on the Hugging Face hub ("t5-base"),
    whose file is fetched unless it is in the local cache. Raises VimaError (BAD_TOKENIZER) if it
    cannot be had or does not end a sentence with ``</s>``.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        tokenizer = _load(OWN_TOKENIZER if path is None else path)
        vocabulary = tokenizer.get_vocab()  # without placeholders
        pieces = json.dumps(sorted(vocabulary, key=vocabulary.__getitem__))
        self.identity = TokenizerIdentity(sha256_of(pieces.encode()), len(vocabulary))
        if tokenizer.encode("").ids != [tokenizer.token_to_id(END)]:
            raise VimaError("BAD_TOKENIZER", f"{path} does not end a text with {END}; valid: T5's")
        self._tokenizer, content = tokenizer, _without_control_tokens(tokenizer.to_str())

        def with_placeholders(names: tuple[str, ...]) -> Tokenizer:
            # A copy for each set of names: added tokens stay in a tokenizer for ever.
            copy = Tokenizer.from_str(content)
            copy.encode_special_tokens = True  # as the characters that they are written with
            added = [AddedToken(_braced(n), single_word=True, normalized=True) for n in names]
            copy.add_tokens(added)
            return copy

        self._with_placeholders = lru_cache(maxsize=16)(with_placeholders)

    def piece(self, word: int) -> str:
        """Return the text of a word id; "▁" marks a word's beginning. Empty for an unknown id."""
        return self._tokenizer.id_to_token(word) or ""

    def encode(self, text: str, placeholders: Sequence[str]) -> tuple[int | str, ...]:
        """Encode to word ids and placeholder names in reading order, the end-of-sequence id last.

        ``{name}`` in ``text`` is a placeholder if ``placeholders`` has ``name``, and text like any
        other if not; a control token's name, such as ``</s>``, is text, too. Raises VimaError:
        BAD_PLACEHOLDER where one is glued to a letter, digit or underscore
        (docs/vima_architecture.md, "Prompt tokenization"); BAD_TEXT for half a surrogate pair.
        """
        names = tuple(dict.fromkeys(placeholders))
        tokenizer = self._with_placeholders(names)
        try:
            encoding = tokenizer.encode(text)
        except (TypeError, UnicodeEncodeError) as error:
            raise VimaError("BAD_TEXT", f"prompt {text!r}; valid: text that has UTF-8") from error
        by_id = {tokenizer.token_to_id(_braced(name)): name for name in names}
        tokens = tuple(by_id.get(word, word) for word in encoding.ids)
        for name in names:
            if tokens.count(name) != text.count(_braced(name)):
                raise VimaError(
                    "BAD_PLACEHOLDER",
                    f"placeholder {_braced(name)} is glued to a word in {text!r}; "
                    "valid: a space or punctuation on both sides",
                )
        return tokens


def _braced(name: str) -> str:
    return "{" + name + "}"


def _without_control_tokens(content: str) -> str:
    """Return a tokenizer's JSON whose model makes no control token of characters in a text.

    A unigram model, as T5's, finds ``</s>`` in a text like any other of its pieces. A piece with a
    space in it is never found: texts are split at spaces before.
    """
    document = json.loads(content)
    names = {END, *(t["content"] for t in document["added_tokens"] if t["special"])}
    model = document["model"]

    def hidden(piece: str) -> str:
        return f" {piece} " if piece in names else piece

    if isinstance(model["vocab"], list):  # unigram: pieces with their scores
        model["vocab"] = [[hidden(piece), score] for piece, score in model["vocab"]]
    else:
        model["vocab"] = {hidden(piece): word for piece, word in model["vocab"].items()}
    if model.get("unk_token"):
        model["unk_token"] = hidden(model["unk_token"])
    return json.dumps(document)


def _load(given: Path | str) -> Tokenizer:
    path, name = expand(given), str(given)
    is_path = isinstance(given, Path) or name.startswith(("/", ".", "~"))
    try:
        if is_path or name.endswith(".json") or path.exists():
            kind = file_kind(path)
            if kind.name != JSON:
                raise ValueError(f"it is {kind.words}")
            return Tokenizer.from_file(str(path))
        return Tokenizer.from_pretrained(name)
    except Exception as error:  # the library raises plain Exceptions
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise VimaError(
            "BAD_TOKENIZER",
            f"no tokenizer at {name!r}: {reason}; valid: the "
            "path of a tokenizer.json (T5's is among the files of t5-base on huggingface.co), or "
            "the name of a model on that hub while the network or a local copy can be reached",
        ) from error
