"""What only a task knows of its episode: for those who teach, not for use.

Which pictures and words of a prompt are about which object, and where each would be picked.

A task of ours draws the same episode from the same seed, so it can still be asked. VIMA-Bench's
recordings tell what their objects are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.geometry import Pose
from vima_ros.policy.tokenizer import PromptTokenizer
from vima_ros.sim.episode_runner import find_level
from vima_ros.sim.model.shapes import SHAPES
from vima_ros.sim.model.textures import TEXTURES, texture_words
from vima_ros.sim.scene import SceneObject
from vima_ros.sim.tasks import find_task
from vima_ros.sim.tasks.grasp_points import grasp_point, seen_middle
from vima_ros.training.data.demonstration import Demonstration

NOTHING = -1  # no object, no look
SHAPE_NAMES = tuple(SHAPES)
# The longest first: "dark red" is not "red".
_LOOKS = sorted(map(texture_words, TEXTURES), key=len, reverse=True)
_SHAPES = {name.replace("_", " "): name for name in SHAPES}
_SHAPES |= {"L-shaped block": "l_block", "three-sided rectangle": "three_sided_rectangle"}
_SHAPES |= {f"letter {name[-1].upper()}": name for name in SHAPES if name.startswith("letter_")}
_TEXTURES = {texture_words(name): name for name in TEXTURES}
_NAME = re.compile(rf"(?P<look>{'|'.join(_LOOKS)}) (?P<shape>{'|'.join(_SHAPES)}) \d+")
_LOOK = re.compile(rf"\b({'|'.join(_LOOKS)}) objects?\b")


@dataclass(frozen=True)
class Clues:
    """Of a prompt with P tokens and an episode with K objects and T actions.

    ``shown``: {picture: the object at each of its mask ids, or NOTHING}. Looks that the words
    name are numbered: ``spoken`` (P,), of which one a token is a word, ``looks`` (K,), which one
    an object has, or NOTHING. ``shapes`` (K,): of ``SHAPE_NAMES``, or NOTHING. ``grasps``
    (T + 1, K, 2): x, y where an oracle that draws nothing would pick each [m]; where it is, of
    what nobody can lift. ``leans``, alike: how far that is from the middle of what the top camera
    sees of the object [m]; NaN where that is not known.
    """

    shown: Mapping[str, tuple[int, ...]]
    spoken: tuple[int, ...]
    looks: tuple[int, ...]
    shapes: tuple[int, ...]
    grasps: np.ndarray
    leans: np.ndarray


def find_clues(
    demonstration: Demonstration, tokens: Sequence[object], tokenizer: PromptTokenizer
) -> Clues:
    """No clues where the episode is neither of our tabletop nor of VIMA-Bench."""
    spoken, poses = [NOTHING] * len(tokens), demonstration.object_poses
    found = _drawn_again(demonstration) or _recorded(demonstration)
    if found is None:
        unknown = (NOTHING,) * len(demonstration.objects)
        places = poses[:, :, :2]
        return Clues({}, tuple(spoken), unknown, unknown, places, np.full_like(places, np.nan))
    objects, shown = found
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
    shapes = tuple(SHAPE_NAMES.index(item.shape) for item in objects)
    return Clues(shown, tuple(spoken), numbers, shapes, *_grasps(objects, poses))


_Found = tuple[Sequence[SceneObject], Mapping[str, tuple[int, ...]]]


def _drawn_again(demonstration: Demonstration) -> _Found | None:
    """The episode's objects and what its pictures show, from its task; None: it is another's."""
    try:
        task, level = find_task(demonstration.task), find_level(demonstration.level)
        episode = task.sample(demonstration.seed, level)
    except VimaError:
        return None
    objects = episode.scene.objects
    names = [item.name for item in objects]
    if tuple(names) != demonstration.objects or episode.prompt != demonstration.text:
        return None
    return objects, {
        name: tuple(
            names.index(item.name) if item.name in names else NOTHING
            for item in asset.scene.objects
        )
        for name, asset in episode.assets.items()
    }


def _recorded(demonstration: Demonstration) -> _Found | None:
    """The same from VIMA-Bench's names, such as "red swirl L-shaped block 7"."""
    objects = []
    for number, name in enumerate(demonstration.objects):
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        texture, shape = _TEXTURES[found["look"]], _SHAPES[found["shape"]]
        objects.append(SceneObject(f"object_{number}", shape, texture, (0.0, 0.0)))
    return objects, demonstration.shown


def _grasps(objects: Sequence[SceneObject], poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grasps and leans of objects at (T + 1, K, 7)."""
    grasps = poses[:, :, :2].astype(np.float64)
    leans = np.full_like(grasps, np.nan)
    for moment, rows in enumerate(poses.astype(np.float64)):
        for which, (item, row) in enumerate(zip(objects, rows, strict=True)):
            if item.built.movable:
                pose = Pose(row[:3], row[3:])
                grasps[moment, which] = grasp_point(item.built, pose, None)
                leans[moment, which] = grasps[moment, which] - seen_middle(item.built, pose)
    return grasps, leans
