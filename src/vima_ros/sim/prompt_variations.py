"""Variations of an episode's prompt that measure what a policy reads of it.

The words' part follows Parekh et al., arXiv 2407.03967, section 3: paraphrases, and words without
meaning. A variation is a function of the episode alone, so that one seed gives one prompt.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.sim.tasks import find_task
from vima_ros.sim.tasks.base import Task, TaskEpisode
from vima_ros.sim.tasks.layout import choose, choose_different
from vima_ros.sim.tasks.paraphrases import PARAPHRASES
from vima_ros.sim.tasks.placement import PlacementGoal
from vima_ros.sim.tasks.prompt_templates import fill, pattern, placeholders

_STREAM = 2  # random numbers independent of those of the episode and of its appearance
_WORD = re.compile(r"\{\w+\}|\w+")
# No prompt of a task has these; each is one piece of the bundled tokenizer.
NONSENSE_WORDS = (
    *("apple", "bag", "ball", "banana", "bolt", "book", "bottle", "brush", "can", "cloth"),
    *("corner", "cube", "cylinder", "drawer", "fork", "gear", "glass", "hammer", "hole", "home"),
    *("jar", "key", "knife", "lemon", "lid", "metal", "mirror", "mug", "nut", "paper"),
    *(
        "pen",
        "pencil",
        "rubber",
        "scissors",
        "screw",
        "shelf",
        "silver",
        "sponge",
        "spoon",
        "tape",
    ),
    *("tool", "towel", "toy", "tray", "wall"),
)


class PromptVariation(str, Enum):
    """Variation of a prompt; ``SWAPPED_MEANING`` has the prompt of SWAPPED_IMAGES and its goal."""

    AS_WRITTEN = "as written"
    PARAPHRASE = "paraphrase"
    SCRAMBLED_WORDS = "scrambled words"
    SWAPPED_IMAGES = "swapped images"
    SWAPPED_MEANING = "swapped images, success as these say"

    def applies_to(self, task: Task) -> bool:
        """Return True if the variation changes the prompts of a task, or their meaning."""
        if self == PromptVariation.SWAPPED_IMAGES:
            return len(placeholders(task.template)) > 1
        return self != PromptVariation.SWAPPED_MEANING or task.name in _SWAPPED_MEANINGS


def vary(episode: TaskEpisode, variation: PromptVariation) -> TaskEpisode:
    """Return the episode with another prompt; scene, and but for SWAPPED_MEANING goal, stay.

    ``variation`` has to apply to the episode's task.
    """
    if variation == PromptVariation.PARAPHRASE:
        return paraphrase(episode)
    if variation == PromptVariation.SCRAMBLED_WORDS:
        return scramble_words(episode)
    if variation == PromptVariation.SWAPPED_IMAGES:
        return swap_images(episode)
    if variation == PromptVariation.SWAPPED_MEANING:
        _, swapped_goal = _SWAPPED_MEANINGS[episode.task]
        return replace(swap_images(episode), goal=swapped_goal(episode))
    return episode


def paraphrase(episode: TaskEpisode) -> TaskEpisode:
    """Return the episode with one of the other wordings of its prompt.

    Raises VimaError (INVALID_VALUE) for a prompt that no template of its task has.
    """
    for template, wordings in zip(
        find_task(episode.task).templates, PARAPHRASES[episode.task], strict=True
    ):
        found = pattern(template).fullmatch(episode.prompt)
        if found:
            wording = choose(_random(episode), wordings)
            assets = {name: episode.assets[name] for name in placeholders(wording)}
            return replace(episode, prompt=fill(wording, **found.groupdict()), assets=assets)
    raise VimaError(
        "INVALID_VALUE", f"prompt {episode.prompt!r}; valid: a template of {episode.task}"
    )


def scramble_words(episode: TaskEpisode) -> TaskEpisode:
    """Return the episode with every word and number replaced by a random one of NONSENSE_WORDS.

    Each is drawn by itself, so that not even a word that comes twice remains recognizable.
    Placeholders, their images and punctuation stay where they are.
    """
    random = _random(episode)

    def replacement(found: re.Match[str]) -> str:
        return found[0] if found[0].startswith("{") else choose(random, NONSENSE_WORDS)

    return replace(episode, prompt=_WORD.sub(replacement, episode.prompt))


def swap_images(episode: TaskEpisode) -> TaskEpisode:
    """Return the episode with images exchanged between placeholders; none exchanged stays.

    Where images of like role can be exchanged so that the prompt asks for something else that can
    be done (``_SWAPPED_MEANINGS``), these; else all, by a random cyclic permutation.
    """
    if episode.task in _SWAPPED_MEANINGS:
        pairs, _ = _SWAPPED_MEANINGS[episode.task]
        source = dict(pairs) | {b: a for a, b in pairs}
    else:
        order = choose_different(_random(episode), list(episode.assets), len(episode.assets))
        source = dict(zip(order, order[1:] + order[:1], strict=True))
    assets = {name: episode.assets[source.get(name, name)] for name in episode.assets}
    return replace(episode, assets=assets)


def _random(episode: TaskEpisode) -> np.random.Generator:
    return np.random.default_rng([_STREAM, zlib.crc32(episode.task.encode()), episode.seed])


def _other_of_the_pair(episode: TaskEpisode) -> PlacementGoal:
    """Return the goal of the opposite adjective: the pair's other object goes into the base."""
    goal: PlacementGoal = episode.goal
    ((place,),), (other, *distractors) = goal.stages, goal.distractors
    stages = ((replace(place, object=other),),)
    return replace(goal, stages=stages, distractors=(place.object, *distractors))


def _other_direction(episode: TaskEpisode) -> PlacementGoal:
    """Return the goal of a rotation by the opposite angle."""
    goal: PlacementGoal = episode.goal
    (stage,) = goal.stages
    turned = (
        replace(place, yaw=2.0 * episode.scene.object(place.object).yaw - place.yaw)
        for place in stage
    )
    return replace(goal, stages=(tuple(turned),))


def _other_order(episode: TaskEpisode) -> PlacementGoal:
    """Return the goal with the two bases in the other order."""
    goal: PlacementGoal = episode.goal
    first, second, back = goal.stages
    return replace(goal, stages=(second, first, back))


_Pairs = tuple[tuple[str, str], ...]
_ADJECTIVE: _Pairs = tuple(
    (f"demo_blicker_obj_{k}", f"demo_less_blicker_obj_{k}") for k in (1, 2, 3)
)
# Of a task: the placeholders whose images are exchanged, and the goal that the prompt then has.
_SWAPPED_MEANINGS: Mapping[str, tuple[_Pairs, Callable[[TaskEpisode], Any]]] = {
    "novel_adj": (_ADJECTIVE, _other_of_the_pair),
    "novel_adj_and_noun": (_ADJECTIVE, _other_of_the_pair),
    "pick_in_order_then_restore": ((("base_obj_1", "base_obj_2"),), _other_order),
    "twist": (
        tuple((f"before_twist_{k}", f"after_twist_{k}") for k in (1, 2, 3)),
        _other_direction,
    ),
}
