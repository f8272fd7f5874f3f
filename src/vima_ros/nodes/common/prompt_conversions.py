"""Conversions between prompts and their messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image

from vima_msgs import msg
from vima_ros.errors import VimaError, add_view_to_errors
from vima_ros.nodes.common import image_conversion
from vima_ros.nodes.common.conversions import (
    images_from_message,
    images_to_message,
    view_from_message,
    view_to_message,
)
from vima_ros.paths import expand
from vima_ros.perception.image_decoding import read_image
from vima_ros.specs import (
    POLICY_FRAME_HEIGHT,
    POLICY_FRAME_WIDTH,
    VIEWS,
    AssetKind,
    EncodedPrompt,
    PromptImage,
)


def prompt_to_message(
    prompt: EncodedPrompt, prompt_id: str, stamp: Time, piece: Callable[[int], str]
) -> msg.PromptTokens:
    """Convert a prompt; each image is sent once, however often the text names it.

    ``piece``: the text of a word id.
    """
    message = msg.PromptTokens(prompt_id=prompt_id, text=prompt.text)
    message.header.stamp = stamp
    index_of: dict[str, int] = {}
    for token in prompt.tokens:
        if not isinstance(token, PromptImage):
            word = msg.PromptToken(kind=msg.PromptToken.KIND_WORD, value=token, text=piece(token))
            message.tokens.append(word)
            continue
        if token.name not in index_of:
            index_of[token.name] = len(message.images)
            views = {
                view: view_to_message(getattr(token, view), view, message.header) for view in VIEWS
            }
            message.images.append(
                msg.PromptImage(
                    name=token.name,
                    kind=int(token.kind),
                    images=images_to_message(token.images),
                    **views,
                )
            )
        message.tokens.append(
            msg.PromptToken(kind=msg.PromptToken.KIND_IMAGE, value=index_of[token.name])
        )
    return message


def prompt_from_message(message: msg.PromptTokens) -> EncodedPrompt:
    """Convert a prompt message. Raises VimaError (INVALID_VALUE), also for a bad image index."""
    images = [
        PromptImage(
            i.name,
            i.kind,
            view_from_message(i.front),
            view_from_message(i.top),
            images_from_message(i.images),
        )
        for i in message.images
    ]
    tokens: list[int | PromptImage] = []
    for token in message.tokens:
        if token.kind == msg.PromptToken.KIND_WORD:
            tokens.append(token.value)
        elif token.kind == msg.PromptToken.KIND_IMAGE and token.value < len(images):
            tokens.append(images[token.value])
        else:
            raise VimaError(
                "INVALID_VALUE",
                f"prompt token kind {token.kind}, value {token.value}; valid: a word (0), or a "
                f"image (1) below {len(images)}",
            )
    return EncodedPrompt(tuple(tokens), message.text)


def asset_to_message(
    name: str,
    kind: AssetKind,
    views: Mapping[str, tuple[np.ndarray, np.ndarray]],
    with_masks: bool = True,
) -> msg.PromptAsset:
    """Convert the RGB image and the instance mask (uint8) of each view to a prompt asset.

    Without masks (``with_masks``) the prompt node's detectors find the objects.
    """
    message = msg.PromptAsset(name=name, kind=int(kind))
    for view, (rgb, mask) in views.items():
        setattr(message, view, image_conversion.encode(rgb, "rgb8"))
        if with_masks:
            setattr(message, f"{view}_mask", image_conversion.encode(mask, "mono8"))
    return message


def asset_images_from_message(
    asset: msg.PromptAsset,
) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Decode the attached images: {view: (RGB, instance mask or None)}, without absent views.

    Raises VimaError naming the asset, the view and what is wrong: BAD_KIND, BAD_IMAGE, WRONG_SIZE.
    """
    if asset.kind not in list(AssetKind):
        raise VimaError(
            "BAD_KIND", f"{{{asset.name}}} has kind {asset.kind}; valid: 0 object, 1 scene"
        )
    images = {}
    for view in VIEWS:
        image, mask = getattr(asset, view), getattr(asset, f"{view}_mask")
        try:
            with add_view_to_errors(view):
                if image.data:
                    images[view] = _decode(image, mask)
                elif mask.data:
                    raise VimaError("BAD_IMAGE", "a mask without an image")
        except VimaError as error:
            error.add_context(f"image {{{asset.name}}}, ")
            raise
    return images


def _decode(image: Image, mask: Image) -> tuple[np.ndarray, np.ndarray | None]:
    rgb = image_conversion.decode_colour(image)
    ids = image_conversion.decode_mask(mask) if mask.data else None
    for name, array in (("image", rgb), ("mask", ids)):
        if array is not None and array.shape[:2] != (POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH):
            raise VimaError(
                "WRONG_SIZE",
                f"the {name} is {array.shape[1]}x{array.shape[0]} px; "
                f"valid: {POLICY_FRAME_WIDTH}x{POLICY_FRAME_HEIGHT} px",
            )
    return rgb, ids


def asset_from_files(argument: str, kind: int) -> msg.PromptAsset:
    """Read the images of an argument NAME=FRONT[,TOP] into a prompt asset.

    Raises VimaError (BAD_IMAGE) for another spelling, and for files that are no images.
    """
    name, equals, files = argument.partition("=")
    paths = files.split(",")
    if not (name and equals and any(paths)) or len(paths) > len(VIEWS):
        raise VimaError("BAD_IMAGE", f"{argument!r}; valid: NAME=FRONT.png[,TOP.png]")
    asset = msg.PromptAsset(name=name, kind=kind)
    for view, path in zip(VIEWS, paths, strict=False):
        if path:
            image = read_image(expand(path), oriented=True)
            setattr(asset, view, image_conversion.encode(image, "rgb8"))
    return asset
