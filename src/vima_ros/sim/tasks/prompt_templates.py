"""Prompt templates: {placeholder} is kept, <word> is replaced."""

from __future__ import annotations

import re

from vima_ros.sim.scene import Scene, SceneObject
from vima_ros.sim.tasks.base import Asset
from vima_ros.specs import AssetKind

# VIMA-Bench's invented words
NOUNS = ("dax", "blicket", "wug", "zup")
ADJECTIVES = ("daxer", "blicker", "modier", "kobar")

_WORD = re.compile(r"<(\w+)>")


def fill(template: str, **words: object) -> str:
    """Return the prompt with every <word> replaced."""
    return _WORD.sub(lambda match: str(words[match[1]]), template)


def placeholders(template: str) -> tuple[str, ...]:
    """Return the placeholders in the order of the text, each once."""
    return tuple(dict.fromkeys(re.findall(r"{(\w+)}", template)))


def pattern(template: str) -> re.Pattern[str]:
    """Return an expression that matches the prompts of a template, with a group per word."""
    parts, used = [], set[str]()
    for index, part in enumerate(_WORD.split(template)):
        if index % 2 == 0:
            parts.append(re.escape(part))
        elif part in used:
            parts.append(f"(?P={part})")
        else:
            used.add(part)
            parts.append(f"(?P<{part}>.+?)")
    return re.compile("".join(parts))


def object_asset(item: SceneObject) -> Asset:
    """Return an image of one object."""
    return Asset(AssetKind.OBJECT, Scene((item,)))


def shape_asset(item: SceneObject) -> Asset:
    """Return an image of one object in grey and at its normal height, to show only its shape."""
    plain = SceneObject(item.name, item.shape, "grey", item.position_xy, item.yaw, item.scale)
    return object_asset(plain)


def scene_asset(*items: SceneObject) -> Asset:
    """Return an image of a scene."""
    return Asset(AssetKind.SCENE, Scene(items))
