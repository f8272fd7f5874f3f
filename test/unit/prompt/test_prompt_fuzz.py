"""Any text and images give an encoded prompt or a refusal with a code."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("vima_msgs", reason="vima_msgs is not built: run `make test`")

from sensor_msgs.msg import Image

from vima_msgs.msg import PromptAsset
from vima_ros.errors import VimaError
from vima_ros.nodes.common import image_conversion
from vima_ros.nodes.common.prompt_conversions import asset_images_from_message
from vima_ros.perception.detectors.registry import make_detector
from vima_ros.policy.tokenizer import PromptTokenizer
from vima_ros.prompt.assembly import assemble, find_placeholders, match_assets
from vima_ros.prompt.image_encoding import PromptImageEncoder
from vima_ros.specs import MAX_PROMPT_TOKENS, AssetKind, PromptImage, ViewObjects

TOKENIZER = PromptTokenizer()
ENCODER = PromptImageEncoder(dict.fromkeys(AssetKind, make_detector("plain_background")))
BLOCK = ViewObjects(
    np.array([[20, 20, 10, 10]]),
    np.zeros((1, 3, 32, 32), np.uint8),
    np.ones(1, np.float32),
    np.zeros(1, np.int64),
)
pieces = st.one_of(
    st.sampled_from(["{a}", "{b}", "{", "}", " ", "{{a}}", "{a b}", "put", "</s>", "▁", "\x00"]),
    st.text(max_size=8),
)


@settings(max_examples=300, derandomize=True)
@given(
    st.lists(pieces, max_size=30).map("".join),
    st.lists(st.sampled_from("abc"), max_size=4),
    st.lists(st.sampled_from("abc"), max_size=3, unique=True),
)
def test_any_text_is_encoded_whole_or_refused(text, sent, stored):
    try:
        placeholders = find_placeholders(text)
        wanted = match_assets(placeholders, sent, stored)
        images = {
            n: PromptImage(n, AssetKind.OBJECT, BLOCK, ViewObjects.empty()) for n in placeholders
        }
        prompt = assemble(text, images, TOKENIZER.encode)
    except VimaError as error:
        event = error.code
        assert event.isupper()
        return
    assert set(wanted) <= set(stored) - set(sent)
    assert len(prompt.images) == sum(text.count("{" + name + "}") for name in placeholders)
    assert len(prompt.tokens) <= MAX_PROMPT_TOKENS


@st.composite
def hostile_images(draw):
    """Images that are right, nearly right, or claim what is not so."""
    width, height = draw(st.sampled_from([(256, 128), (256, 128), (255, 128), (1, 1), (0, 128)]))
    encoding = draw(
        st.sampled_from(
            ["rgb8", "bgr8", "mono8", "mono16", "16UC1", "rgba8", "sparkle", "", "32FC1"]
        )
    )
    seed = draw(st.integers(0, 9))
    size = draw(st.sampled_from([width * height * 3, width * height, 0, 7, 256 * 128 * 2]))
    data = np.random.default_rng(seed).integers(0, draw(st.sampled_from([2, 256])), size, np.uint8)
    step = draw(st.sampled_from([width * 3, width, width * 2, 0, 2**32 - 1]))
    return Image(
        width=draw(st.sampled_from([width, width, 2**32 - 1])),
        height=height,
        encoding=encoding,
        step=step,
        is_bigendian=draw(st.integers(0, 1)),
        data=data.tobytes(),
    )


def good_image():
    rgb = np.full((128, 256, 3), 255, np.uint8)
    rgb[40:70, 100:130] = (200, 30, 30)
    return image_conversion.encode(rgb, "rgb8")


@pytest.mark.slow
@settings(max_examples=200, derandomize=True)
@given(
    st.builds(
        PromptAsset,
        name=st.text(max_size=5),
        kind=st.integers(0, 3),
        front=st.one_of(st.builds(good_image), hostile_images()),
        top=st.one_of(st.builds(Image), hostile_images()),
        front_mask=st.one_of(st.builds(Image), hostile_images()),
        top_mask=st.one_of(st.builds(Image), hostile_images()),
    )
)
def test_any_image_is_read_or_refused(asset):
    try:
        views = asset_images_from_message(asset)
        image = ENCODER.encode(asset.name, AssetKind(asset.kind), views)
    except VimaError as error:
        assert error.code.isupper()  # noqa: PT017
        return
    assert len(image.front) + len(image.top) > 0
