"""Which pictures and words of a prompt are about which object: for those who teach, not for use.

A task draws the same episode from the same seed, so it can still be asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vima_ros.errors import VimaError
from vima_ros.policy.tokenizer import PromptTokenizer
from vima_ros.sim.episode_run import find_level
from vima_ros.sim.tasks import find_task
from vima_ros.sim.textures import TEXTURES, texture_words
from vima_ros.training.demonstration import Demonstration

NOTHING = -1  # no object, no look
# The longest first: "dark red" is not "red".
_LOOKS = sorted(map(texture_words, TEXTURES), key=len, reverse=True)
_LOOK = re.compile(rf"\b({'|'.join(_LOOKS)}) objects?\b")


@dataclass(frozen=True)
class Clues:
    """Of a prompt with P tokens and an episode with K objects.

    ``shown``: {picture: the object at each of its mask ids, or NOTHING}. Looks that the words
    name are numbered: ``spoken`` (P,), of which one a token is a word, ``looks`` (K,), which one
    an object has, or NOTHING.
    """

    shown: Mapping[str, tuple[int, ...]]
    spoken: tuple[int, ...]
    looks: tuple[int, ...]


def find_clues(
    demonstration: Demonstration, tokens: Sequence[object], tokenizer: PromptTokenizer
) -> Clues:
    """No clues where the episode is not of our tabletop."""
    names, spoken = demonstration.objects, [NOTHING] * len(tokens)
    none = Clues({}, tuple(spoken), (NOTHING,) * len(names))
    try:
        task, level = find_task(demonstration.task), find_level(demonstration.level)
        episode = task.sample(demonstration.seed, level)
    except VimaError:
        return none
    objects = episode.scene.objects
    if tuple(item.name for item in objects) != names or episode.prompt != demonstration.text:
        return none
    shown = {
        name: tuple(
            names.index(item.name) if item.name in names else NOTHING
            for item in asset.scene.objects
        )
        for name, asset in episode.assets.items()
    }
    said = list(dict.fromkeys(_LOOK.findall(demonstration.text)))
    begin = 0
    for look in _LOOK.findall(demonstration.text):
        words = list(tokenizer.encode(look, ())[:-1])
        begin = next(
            i for i in range(begin, len(tokens)) if list(tokens[i : i + len(words)]) == words
        )
        spoken[begin : begin + len(words)] = [said.index(look)] * len(words)
    looks = [texture_words(item.texture) for item in objects]
    numbers = tuple(said.index(look) if look in said else NOTHING for look in looks)
    return Clues(shown, tuple(spoken), numbers)
