"""Report of the weights that a run loads from a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

MAX_NAMES = 3  # of one part of the network that are listed one by one


@dataclass(frozen=True)
class LoadedWeights:
    """Weights ``taken`` (count), initialized ``anew`` (reasons by name) and ``unused`` (names)."""

    taken: int
    anew: Mapping[str, str]
    unused: tuple[str, ...] = ()

    def describe(self, path: Path) -> str:
        """Describe the weights in one line."""
        text = f"begins with {self.taken} of {self.taken + len(self.anew)} weights of {path}"
        groups = [(name, f"{name} ({why})") for name, why in self.anew.items()]
        text += "; begins anew: " + (_listed(groups) or "nothing")
        unused = _listed([(name, name) for name in self.unused])
        return text + (f"; not used of the file: {unused}" if unused else "")


def _listed(items: Iterable[tuple[str, str]]) -> str:
    """List names with reasons, only the first of many in one part."""
    listed = []
    for part, group in groupby(items, lambda item: item[0].partition(".")[0]):
        texts = [text for _, text in group]
        if len(texts) > MAX_NAMES:
            texts = [f"{len(texts)} weights of {part}, such as {texts[0]}"]
        listed += texts
    return ", ".join(listed)
