"""Privileged labels of training episodes, which a policy has no access to at run time.

They relate images and words of a prompt to objects, and have each object's grasp. Our tasks
sample the same episode from the same seed, so their labels are computed anew. VIMA-Bench's
recordings name their objects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Workspace
from vima_ros.policy.tokenizer import PromptTokenizer
from vima_ros.sim.episode_runner import find_level
from vima_ros.sim.model.shapes import SHAPES
from vima_ros.sim.model.textures import TEXTURES, texture_words
from vima_ros.sim.scene import SceneObject
from vima_ros.sim.tasks import find_task
from vima_ros.sim.tasks.grasp_points import grasp_point, visible_center
from vima_ros.training.data.demonstration import Demonstration

NOTHING = -1  # no object, no look
SHAPE_NAMES = tuple(SHAPES)
# Longest first: "dark red" is not "red".
_LOOKS = sorted(map(texture_words, TEXTURES), key=len, reverse=True)
_SHAPES = {name.replace("_", " "): name for name in SHAPES}
_SHAPES |= {"L-shaped block": "l_block", "three-sided rectangle": "three_sided_rectangle"}
_SHAPES |= {f"letter {name[-1].upper()}": name for name in SHAPES if name.startswith("letter_")}
_TEXTURES = {texture_words(name): name for name in TEXTURES}
_NAME = re.compile(rf"(?P<look>{'|'.join(_LOOKS)}) (?P<shape>{'|'.join(_SHAPES)}) \d+")
_LOOK = re.compile(rf"\b({'|'.join(_LOOKS)}) objects?\b")


@dataclass(frozen=True)
class PrivilegedLabels:
    """Labels of a prompt with P tokens and an episode with K objects and T actions.

    ``shown``: {image: the object at each of its mask ids, or NOTHING}. Looks that the words name
    are numbered: ``named_looks`` (P,) of each token, ``looks`` (K,) of each object, or NOTHING.
    ``shapes`` (K,): indices into ``SHAPE_NAMES``, or NOTHING. ``grasps`` (T + 1, K, 2): x, y where
    a deterministic oracle would pick each object [m]; its position if it cannot be lifted.
    ``grasp_offsets`` (T + 1, K, 2): from the center of the object's top view to its grasp [m]; NaN
    where unknown. ``yaws``: {image: yaw of its object in the table frame [rad]}, of images of a
    single object where it is known.
    """

    shown: Mapping[str, tuple[int, ...]]
    named_looks: tuple[int, ...]
    looks: tuple[int, ...]
    shapes: tuple[int, ...]
    grasps: np.ndarray
    grasp_offsets: np.ndarray
    yaws: Mapping[str, float]


def find_labels(
    demonstration: Demonstration, tokens: Sequence[object], tokenizer: PromptTokenizer
) -> PrivilegedLabels:
    """Find the labels; all unknown if the episode is neither ours nor VIMA-Bench's."""
    named_looks, poses = [NOTHING] * len(tokens), demonstration.object_poses
    found = _sample_again(demonstration) or _parse_names(demonstration)
    if found is None:
        unknown = (NOTHING,) * len(demonstration.objects)
        places = poses[:, :, :2]
        return PrivilegedLabels(
            {}, tuple(named_looks), unknown, unknown, places, np.full_like(places, np.nan), {}
        )
    objects, shown, yaws = found
    names = list(dict.fromkeys(_LOOK.findall(demonstration.text)))
    begin = 0
    for look in _LOOK.findall(demonstration.text):
        words = list(tokenizer.encode(look, ())[:-1])
        begin = next(
            i for i in range(begin, len(tokens)) if list(tokens[i : i + len(words)]) == words
        )
        named_looks[begin : begin + len(words)] = [names.index(look)] * len(words)
    # No word names a generated texture, and no class a generated shape.
    looks = [texture_words(item.texture) if item.texture in TEXTURES else "" for item in objects]
    numbers = tuple(names.index(look) if look in names else NOTHING for look in looks)
    shapes = tuple(
        SHAPE_NAMES.index(item.shape) if item.shape in SHAPES else NOTHING for item in objects
    )
    grasps = _grasps(objects, poses, demonstration.workspace)
    return PrivilegedLabels(shown, tuple(named_looks), numbers, shapes, *grasps, yaws)


_Found = tuple[Sequence[SceneObject], Mapping[str, tuple[int, ...]], Mapping[str, float]]


def _sample_again(demonstration: Demonstration) -> _Found | None:
    """Sample the objects and the images' contents again; None if it is not our task's."""
    try:
        task, level = find_task(demonstration.task), find_level(demonstration.level)
        episode = task.sample(demonstration.seed, level, demonstration.workspace)
    except VimaError:
        return None
    objects = episode.scene.objects
    names = [item.name for item in objects]
    if tuple(names) != demonstration.objects or episode.prompt != demonstration.text:
        return None
    shown = {
        name: tuple(
            names.index(item.name) if item.name in names else NOTHING
            for item in asset.scene.objects
        )
        for name, asset in episode.assets.items()
    }
    scenes = {name: asset.scene.objects for name, asset in episode.assets.items()}
    return objects, shown, {name: of[0].yaw for name, of in scenes.items() if len(of) == 1}


def _parse_names(demonstration: Demonstration) -> _Found | None:
    """Parse the objects from VIMA-Bench's names, such as "red swirl L-shaped block 7"."""
    objects = []
    for number, name in enumerate(demonstration.objects):
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        texture, shape = _TEXTURES[found["look"]], _SHAPES[found["shape"]]
        objects.append(SceneObject(f"object_{number}", shape, texture, (0.0, 0.0)))
    return objects, demonstration.shown, {}


def _grasps(
    objects: Sequence[SceneObject], poses: np.ndarray, workspace: Workspace
) -> tuple[np.ndarray, np.ndarray]:
    """Compute grasps and grasp offsets of objects at poses (T + 1, K, 7)."""
    grasps = poses[:, :, :2].astype(np.float64)
    grasp_offsets = np.full_like(grasps, np.nan)
    for timestep, rows in enumerate(poses.astype(float)):
        for which, (item, row) in enumerate(zip(objects, rows, strict=True)):
            if item.scaled_shape.movable:
                pose = Pose(row[:3], row[3:])
                grasps[timestep, which] = grasp_point(item.scaled_shape, pose, workspace, None)
                grasp_offsets[timestep, which] = grasps[timestep, which] - visible_center(
                    item.scaled_shape, pose
                )
    return grasps, grasp_offsets
