"""Check of a prompt and assembly of its words and images in reading order."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from vima_ros.errors import PromptTooLongError, VimaError
from vima_ros.specs import MAX_PROMPT_TOKENS, EncodedPrompt, PromptImage

MAX_TEXT_LENGTH = 1000  # characters; 256 tokens hold fewer
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
NAME = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)

Encode = Callable[[str, Sequence[str]], Sequence[int | str]]


def find_placeholders(text: str) -> tuple[str, ...]:
    """Return the names between braces in reading order, each once.

    Raises VimaError: EMPTY_TEXT, TEXT_TOO_LONG, BAD_PLACEHOLDER or NO_PLACEHOLDER.
    """
    if not text.strip():
        raise VimaError("EMPTY_TEXT", "the prompt has no text; valid: 'Put the {a} into the {b}.'")
    if len(text) > MAX_TEXT_LENGTH:
        raise VimaError(
            "TEXT_TOO_LONG",
            f"the text has {len(text)} characters; valid: up to {MAX_TEXT_LENGTH}",
        )
    names = PLACEHOLDER.findall(text)
    for name in names:
        if not NAME.fullmatch(name):
            raise VimaError(
                "BAD_PLACEHOLDER",
                f"placeholder {{{name}}}; valid: 1 to 64 letters, digits or _ between braces",
            )
    rest = PLACEHOLDER.sub("", text)
    if "{" in rest or "}" in rest:
        raise VimaError(
            "BAD_PLACEHOLDER", f"unbalanced brace in {text!r}; valid: {{name}} for each image"
        )
    if not names:
        raise VimaError(
            "NO_PLACEHOLDER",
            f"no image in {text!r}; valid: at least one {{name}}, as in 'Put the {{a}} aside.'",
        )
    return tuple(dict.fromkeys(names))


def match_assets(
    placeholders: Sequence[str], asset_names: Sequence[str], library: Sequence[str] = ()
) -> list[str]:
    """Match each placeholder with exactly one image, and each image with a placeholder.

    Returns the placeholders whose image has to come from the ``library``; an attached image takes
    precedence.

    Raises VimaError: DUPLICATE_ASSET, UNKNOWN_PLACEHOLDER or MISSING_PLACEHOLDER.
    """
    twice = sorted({name for name in asset_names if list(asset_names).count(name) > 1})
    if twice:
        raise VimaError("DUPLICATE_ASSET", f"several images named {twice}; valid: one each")
    unsent = [name for name in placeholders if name not in asset_names]
    unknown = [name for name in unsent if name not in library]
    if unknown:
        raise VimaError(
            "UNKNOWN_PLACEHOLDER",
            f"no image for {unknown}; images were sent for {list(asset_names)}, the library "
            f"holds {list(library)}",
        )
    missing = [name for name in asset_names if name not in placeholders]
    if missing:
        raise VimaError(
            "MISSING_PLACEHOLDER",
            f"the text does not name the images {missing}; it names {list(placeholders)}",
        )
    return unsent


def assemble(
    text: str,
    images: Mapping[str, PromptImage],
    encode: Encode,
    *,
    max_tokens: int = MAX_PROMPT_TOKENS,
    image_tokens: int = 0,
) -> EncodedPrompt:
    """Assemble token ids of words and images, in reading order, end-of-sequence word last.

    ``encode(text, names)`` is the tokenizer's: word ids and, for placeholders, their names.

    Raises PromptTooLongError beyond ``max_tokens``, where an image counts as ``image_tokens``; 0:
    as many as the fullest image has objects, front and top (docs/vima_architecture.md, "Sequence
    limits").
    """
    tokens = tuple(
        images[token] if isinstance(token, str) else token for token in encode(text, list(images))
    )
    prompt = EncodedPrompt(tokens, text)
    slots = image_tokens or sum(
        max((len(getattr(image, view)) for image in images.values()), default=0)
        for view in ("front", "top")
    )
    image_count = len(prompt.images)
    word_count = len(tokens) - image_count
    length = word_count + image_count * slots
    if length > max_tokens:
        each = f"{slots} {'tokens' if image_tokens else 'objects'}"
        raise PromptTooLongError(
            f"the prompt has {length} tokens ({word_count} words, {image_count} images "
            f"of {each}); valid: up to {max_tokens}",
            length,
        )
    return prompt
