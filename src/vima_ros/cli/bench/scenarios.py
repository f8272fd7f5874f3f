"""Scenes and prompts of the latency benchmark, with pictures taken in simulation."""

from __future__ import annotations

from dataclasses import dataclass

from vima_msgs.msg import Prompt
from vima_ros.nodes.common.prompt_conversions import asset_to_message
from vima_ros.sim.rendering.prompt_renderer import prompt_pictures
from vima_ros.sim.scene import SCENES, Scene, scatter
from vima_ros.specs import AssetKind


@dataclass(frozen=True)
class Show:
    """A scene, a prompt about it, and the objects its placeholders show ("" is a whole scene)."""

    scene: str
    text: str
    assets: dict[str, str]


SHOWS = (
    Show(
        "put",
        "Put the {red_block} into the {blue_bowl}.",
        {"red_block": "red_block", "blue_bowl": "blue_bowl"},
    ),
    Show("rotate", "Rotate the {dragged_obj} 90 degrees.", {"dragged_obj": "yellow_l_block"}),
    Show("rearrange", "Rearrange to this {scene}.", {"scene": ""}),
    Show(
        "sweep",
        "Sweep any {swept_obj} into {bounds} without exceeding {constraint}.",
        {
            "swept_obj": "red_small_block_1",
            "bounds": "orange_bounds",
            "constraint": "grey_line",
        },
    ),
)


def make_prompt(show: Show, seed: int) -> Prompt:
    """Pictures as VIMA-Bench's prompts have them: an object alone on white, or a scene."""
    prompt = Prompt(text=show.text)
    scene = SCENES[show.scene]
    for name, shown in show.assets.items():
        if shown:
            kind, pictured = AssetKind.OBJECT, Scene((scene.object(shown),))
        else:
            kind, pictured = AssetKind.SCENE, scatter(scene, seed)
        prompt.assets.append(asset_to_message(name, kind, prompt_pictures(pictured, kind)))
    return prompt
