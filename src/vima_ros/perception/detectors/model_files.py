"""Weights files of detectors: reading, model card and errors."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vima_ros.errors import VimaError
from vima_ros.files import first_line, sha256_of
from vima_ros.paths import expand
from vima_ros.weight_files import ABSENT, file_kind

MAX_BYTES = 1 << 30  # more than any Mask R-CNN of use here
MAX_CARD_LENGTH = 1 << 16  # [characters]


@dataclass(frozen=True)
class WeightsFile:
    """Content of a file: name, bytes, their sha256 in hexadecimal, and ``file_kind``'s name."""

    name: str
    data: bytes
    sha256: str
    kind: str

    def describe(self) -> dict[str, Any]:
        """Describe the file: its name and the beginning of its sha256."""
        return {"weights": self.name, "sha256": self.sha256[:12]}


def read_weights(
    given: str, default: Path | None, what: str, kinds: Collection[str]
) -> WeightsFile:
    """Read the file ``given``, or ``default`` if that is empty; ``what``: expected content.

    Raises VimaError: NO_WEIGHTS without a file, BAD_WEIGHTS for one that is too large or of
    another kind than ``kinds``, saying of which.
    """
    if not given and default is None:
        raise VimaError("NO_WEIGHTS", f"no weights given; valid: {what}")
    path = expand(given or str(default))
    kind = file_kind(path)
    if kind.name == ABSENT or not path.is_file():
        raise VimaError("NO_WEIGHTS", f"{path} is {kind.words}; valid: {what}")
    if kind.name not in kinds:
        raise bad_weights(path.name, f"it is {kind.words}", what)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise bad_weights(path.name, f"larger than {MAX_BYTES >> 20} MiB", what)
        data = path.read_bytes()
    except OSError as error:
        raise VimaError("NO_WEIGHTS", f"{path}: {error.strerror}; valid: {what}") from error
    return WeightsFile(path.name, data, sha256_of(data), kind.name)


def bad_weights(name: str, why: str, valid: str) -> VimaError:
    """Return the error for a file with other content than expected."""
    return VimaError("BAD_WEIGHTS", f"{name}: {why}; valid: {valid}")


def read_card(name: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Read the JSON object under ``card``, empty if absent; ``min_score`` in it is a score.

    Raises VimaError (BAD_WEIGHTS).
    """
    text, valid = metadata.get("card", "{}"), "a JSON object with min_score 0 to 1, if at all"
    if len(text) > MAX_CARD_LENGTH:
        raise bad_weights(name, f"card of {len(text)} characters", f"up to {MAX_CARD_LENGTH}")
    try:
        card = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise bad_weights(name, f"card is no JSON: {first_line(error)}", valid) from error
    score = card.get("min_score", 0.0) if isinstance(card, dict) else None
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise bad_weights(name, f"card is {text[:80]!r}", valid)
    return card
