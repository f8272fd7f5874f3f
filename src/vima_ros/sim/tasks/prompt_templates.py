"""Prompt templates: {picture} stays, <word> is filled in."""

from __future__ import annotations

import re

from vima_ros.sim.scene import Scene, SceneObject
from vima_ros.sim.tasks.base import Asset
from vima_ros.specs import AssetKind

# Invented words of VIMA-Bench.
NOUNS = ("dax", "blicket", "wug", "zup")
ADJECTIVES = ("daxer", "blicker", "modier", "kobar")

_WORD = re.compile(r"<(\w+)>")


def fill(template: str, **words: object) -> str:
    """The prompt with every <word> replaced."""
    return _WORD.sub(lambda match: str(words[match[1]]), template)


def placeholders(template: str) -> tuple[str, ...]:
    """The names of its pictures in reading order, each once."""
    return tuple(dict.fromkeys(re.findall(r"{(\w+)}", template)))


def pattern(template: str) -> re.Pattern[str]:
    """Matches the prompts of a template; its groups are the words, by name at the first place."""
    parts, seen = [], set[str]()
    for index, part in enumerate(_WORD.split(template)):
        if index % 2 == 0:
            parts.append(re.escape(part))
        elif part in seen:
            parts.append(f"(?P={part})")
        else:
            seen.add(part)
            parts.append(f"(?P<{part}>.+?)")
    return re.compile("".join(parts))


def object_asset(item: SceneObject) -> Asset:
    """A picture of one object."""
    return Asset(AssetKind.OBJECT, Scene((item,)))


def shape_asset(item: SceneObject) -> Asset:
    """A picture of one object in grey and at its normal height: only its shape counts."""
    plain = SceneObject(item.name, item.shape, "grey", item.position_xy, item.yaw, item.scale)
    return object_asset(plain)


def scene_asset(*items: SceneObject) -> Asset:
    """A picture of a scene."""
    return Asset(AssetKind.SCENE, Scene(items))
