"""Which weights a run takes over from a file that it begins with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

MAX_NAMES = 3  # of one part of the network that are listed one by one


@dataclass(frozen=True)
class LoadedWeights:
    """``taken``: how many; ``anew``: why, by the name of each other; ``unused`` of the file."""

    taken: int
    anew: Mapping[str, str]
    unused: tuple[str, ...] = ()

    def describe(self, path: Path) -> str:
        """One line for people."""
        text = f"begins with {self.taken} of {self.taken + len(self.anew)} weights of {path}"
        groups = [(name, f"{name} ({why})") for name, why in self.anew.items()]
        text += "; begins anew: " + (_listed(groups) or "nothing")
        unused = _listed([(name, name) for name in self.unused])
        return text + (f"; not used of the file: {unused}" if unused else "")


def _listed(items: Iterable[tuple[str, str]]) -> str:
    """Name and text of weights: the texts, of many that belong to one part the first alone."""
    told = []
    for part, group in groupby(items, lambda item: item[0].partition(".")[0]):
        texts = [text for _, text in group]
        if len(texts) > MAX_NAMES:
            texts = [f"{len(texts)} weights of {part}, such as {texts[0]}"]
        told += texts
    return ", ".join(told)
