"""Examples of adjectives recombined: novel_adj's prompts with examples of other episodes.

"{a} is daxer than {b}. … Put the daxer {c} into the {d}." What the adjective means is in the
examples alone, so those of any episode that compare the same property do as well, and either
direction, with the other of two candidates where that asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from vima_ros.policy.tokenizer import PromptTokenizer
from vima_ros.training.policy.privileged_labels import NOTHING
from vima_ros.training.policy.training_episode import (
    POSITION_COLUMNS,
    TrainingEpisode,
    position_bins,
)
from vima_ros.training.policy.visible_objects import ViewPair

MIN_HEIGHT = 4  # difference of the front boxes where heights are compared [px]; they differ by 10


@dataclass(frozen=True)
class Examples:
    """Examples of an adjective in an episode's prompt, and what the prompt asks for.

    ``pairs``: indices of the images that have more and less of it; ``words``: places of the
    adjective in the prompt, the last where it is asked for; ``less``: whether for less of it.
    ``of_height``: the property, height or brightness; ``increases``: whether more of the
    adjective is taller or brighter.
    """

    pairs: tuple[tuple[int, int], ...]
    words: tuple[int, ...]
    less: bool
    of_height: bool
    increases: bool


@cache
def _words() -> tuple[int, int, int]:
    """Return the ids of "is", "than" and "less"."""
    tokenizer = PromptTokenizer()
    found = [tokenizer.encode(word, ())[0] for word in ("is", "than", "less")]
    return int(found[0]), int(found[1]), int(found[2])


def find_examples(episode: TrainingEpisode) -> Examples | None:
    """Find the examples in a prompt; None where there are none, or no image is asked for."""
    prompt, (is_, than, less) = episode.prompt, _words()
    places = [
        place
        for place in range(len(prompt) - 4)
        if prompt[place] < 0
        and (prompt[place + 1], prompt[place + 3]) == (is_, than)
        and prompt[place + 4] < 0
    ]
    words = [place + 2 for place in places]
    if not places or len({prompt[word] for word in words}) > 1:
        return None
    asked = [
        place
        for place in range(places[-1] + 5, len(prompt) - 1)
        if prompt[place] == prompt[words[0]] and prompt[place + 1] < 0
    ]
    if len(asked) != 1:
        return None
    pairs = tuple((~prompt[place], ~prompt[place + 4]) for place in places)
    heights = [_height(episode, more) - _height(episode, other) for more, other in pairs]
    shades = [_brightness(episode, more) - _brightness(episode, other) for more, other in pairs]
    of_height = min(map(abs, heights)) >= MIN_HEIGHT
    increases = sum(heights if of_height else shades) > 0
    wants_less = prompt[asked[0] - 1] == less
    return Examples(pairs, (*words, asked[0]), wants_less, of_height, increases)


def _height(episode: TrainingEpisode, image: int) -> float:
    front = episode.images[image][0]
    return float(front.boxes[0, 2]) if len(front.boxes) else np.nan


def _brightness(episode: TrainingEpisode, image: int) -> float:
    front = episode.images[image][0]
    if not front.crops:
        return np.nan
    brightest = episode.crops[front.crops[0]].max(0)
    return float(brightest[brightest > 0].mean()) if brightest.any() else np.nan


class ExampleBank:
    """Examples of all episodes, by the property that they compare."""

    def __init__(self, episodes: Sequence[TrainingEpisode]) -> None:
        self._by_property: dict[bool, list[tuple[TrainingEpisode, Examples]]] = {}
        for episode in episodes:
            found = find_examples(episode)
            if found is not None:
                self._by_property.setdefault(found.of_height, []).append((episode, found))

    def recombine(self, episode: TrainingEpisode, random: np.random.Generator) -> TrainingEpisode:
        """Return the episode with others' examples, another adjective, direction and demand.

        Unchanged: without examples, of more than one action, and with whole images.
        """
        own = find_examples(episode)
        if own is None or len(episode.bins) != 1 or episode.backgrounds:
            return episode
        known = self._by_property[own.of_height]
        increases, less = (bool(value) for value in random.integers(2, size=2))
        other = _other_candidate(episode)
        if other is None:  # then it is still the same object that is asked for
            less = increases ^ own.increases ^ own.less
        images, crops = list(episode.images), [episode.crops]
        count = len(episode.crops)
        for pair in own.pairs:
            source, theirs = known[random.integers(len(known))]
            taken = theirs.pairs[random.integers(len(theirs.pairs))]
            for index, shown in zip(
                pair, taken if theirs.increases == increases else taken[::-1], strict=True
            ):
                images[index], new = _copied(source, shown, count)
                crops.append(new)
                count += len(new)
        source, theirs = known[random.integers(len(known))]
        changed = replace(
            _asking(episode, own, source.prompt[theirs.words[0]], less),
            images=tuple(images),
            crops=np.concatenate(crops),
        )
        same = (increases ^ less) == (own.increases ^ own.less)
        return changed if same or other is None else _with_pick(changed, other, own.words[-1])


def _copied(source: TrainingEpisode, image: int, first: int) -> tuple[ViewPair, np.ndarray]:
    """Return an image of another episode, whose crops begin at row ``first``, and the crops."""
    views = []
    rows: list[int] = []
    for view in source.images[image]:
        own = range(first + len(rows), first + len(rows) + len(view.crops))
        rows += view.crops
        views.append(replace(view, crops=tuple(own), ids=(NOTHING,) * len(view.ids)))
    return (views[0], views[1]), source.crops[rows]


def _asking(episode: TrainingEpisode, own: Examples, word: int, less: bool) -> TrainingEpisode:
    """Return the episode with another adjective, that asks for more or ``less`` of it."""
    prompt, looks = list(episode.prompt), list(episode.named_looks)
    for place in own.words:
        prompt[place] = word
    last = own.words[-1]
    if less and not own.less:
        prompt.insert(last, _words()[2])
        looks.insert(last, NOTHING)
    elif own.less and not less:
        del prompt[last - 1], looks[last - 1]
    return replace(episode, prompt=tuple(prompt), named_looks=tuple(looks))


def _other_candidate(episode: TrainingEpisode) -> int | None:
    """Return the object that has the picked one's shape, if there is one such."""
    picked, shapes = int(episode.picked[0]), episode.shapes
    if NOTHING in (picked, shapes[picked]):
        return None
    alike = [i for i, shape in enumerate(shapes) if shape == shapes[picked] and i != picked]
    return alike[0] if len(alike) == 1 else None


def _with_pick(episode: TrainingEpisode, other: int, asked: int) -> TrainingEpisode:
    """Return the episode with ``other`` picked in place of the demonstrated object.

    ``asked``: place in the prompt near which the image of the object that is asked for stands.
    """
    picked, targets = int(episode.picked[0]), episode.targets.copy()
    beside = episode.grasps[0] - episode.places[0]  # (K, 2) [m]
    targets[0, 1] += beside[other] - beside[picked]
    targets[0, 0] = episode.grasps[0, other]
    bins = episode.bins.copy()
    bins[:, POSITION_COLUMNS] = position_bins(targets, episode.workspace)
    grey = next(~token for token in episode.prompt[asked:] if token < 0)
    images = list(episode.images)
    front, top = (replace(v, ids=(other,) * len(v.ids)) for v in images[grey])
    images[grey] = front, top
    return replace(
        episode,
        targets=targets,
        bins=bins,
        picked=np.array([other]),
        images=tuple(images),
    )
