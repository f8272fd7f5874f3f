"""Prompt of a replay as a message: the recorded one, or one from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ament_index_python.packages import get_package_share_directory
from rclpy.serialization import deserialize_message
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from sensor_msgs.msg import CompressedImage, Image

from vima_msgs.msg import Prompt, PromptAsset
from vima_ros.errors import VimaError
from vima_ros.nodes.common import image_conversion
from vima_ros.nodes.common.prompt_conversions import asset_from_files
from vima_ros.replay.bag import PROMPT_MESSAGE, RecordedPrompt
from vima_ros.replay.storage import bad_bag

if TYPE_CHECKING:
    from rosbags.interfaces.typing import Typesdict

OURS = (PROMPT_MESSAGE, "vima_msgs/msg/PromptAsset")


def prompt_from_files(text: str, objects: list[str], scenes: list[str]) -> Prompt:
    """Build a prompt from a text and images, NAME=FRONT[,TOP] each, as `send_prompt` does.

    Raises VimaError (BAD_IMAGE) for files that are no images.
    """
    prompt = Prompt(text=text)
    prompt.assets = [asset_from_files(argument, PromptAsset.KIND_OBJECT) for argument in objects]
    prompt.assets += [asset_from_files(argument, PromptAsset.KIND_SCENE) for argument in scenes]
    return prompt


def recorded_prompt(bag: Path, recorded: RecordedPrompt | None) -> Prompt:
    """Return the prompt of the recording ``bag``.

    Raises VimaError: NO_PROMPT where there is none; BAD_BAG where it is a message of another
    version of vima_msgs.
    """
    if recorded is None:
        raise VimaError(
            "NO_PROMPT",
            f"bag {bag} holds no prompt: no vima_msgs/Prompt, and no std_msgs/String on /prompt; "
            '--prompt "Put the {a} into the {b}." with --image a=FRONT.png,TOP.png gives one, '
            "where what no --image gives is taken from the asset library",
        )
    if recorded.message is not None:
        _check_layout(bag, recorded, recorded.message)
        return deserialize_message(recorded.message, Prompt)
    prompt = Prompt(text=recorded.text)
    for asset in recorded.assets:
        views = {
            view: _image(data, view in asset.compressed) for view, data in asset.views.items()
        }
        prompt.assets.append(PromptAsset(name=asset.name, kind=int(asset.kind), **views))
    return prompt


def _image(data: bytes, compressed: bool) -> Image:
    if not compressed:
        return deserialize_message(data, Image)
    return image_conversion.encode(
        image_conversion.decode_colour(deserialize_message(data, CompressedImage)), "rgb8"
    )


def _check_layout(bag: Path, recorded: RecordedPrompt, message: bytes) -> None:
    """Check the recorded definition, if any, and that the message can be read with ours.

    Raises VimaError (BAD_BAG).
    """
    ours, theirs = _our_layout(), recorded.layout
    fields = [name for name, _ in ours[PROMPT_MESSAGE][1]]
    if theirs and any(name not in theirs or theirs[name][1] != ours[name][1] for name in OURS):
        problem = f"another version's layout: {[name for name, _ in theirs[PROMPT_MESSAGE][1]]}"
    else:
        types = get_typestore(Stores.ROS2_HUMBLE)
        types.register(ours)
        try:
            types.deserialize_cdr(message, PROMPT_MESSAGE)
            return
        except Exception as error:  # rosbags raises what bytes of another layout lead to
            problem = "another version's layout, or damaged"
            problem += f" ({type(error).__name__}: {error})"
    raise bad_bag(
        bag,
        f"has a {PROMPT_MESSAGE} on {recorded.topic} that is of {problem}; valid: of this "
        f"version's, {fields}; --prompt gives one instead",
    )


def _our_layout() -> Typesdict:
    folder = Path(get_package_share_directory("vima_msgs")) / "msg"
    layout: Typesdict = {}
    for name in OURS:
        text = (folder / f"{name.rpartition('/')[2]}.msg").read_text()
        layout |= get_types_from_msg(text, name)
    return layout
