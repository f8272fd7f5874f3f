import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vima_ros.errors import VimaError
from vima_ros.perception.view_images import view_image, view_images
from vima_ros.specs import VIEWS


@given(st.integers(0, 2**32 - 1))
def test_each_pixel_of_a_whole_image_is_the_mean_of_four_of_the_policy_frame(seed):
    frame = np.random.default_rng(seed).integers(0, 256, (128, 256, 3), np.uint8)
    image = view_image(frame)
    assert image.shape == (3, 64, 128)
    assert image.dtype == np.uint8
    means = frame.reshape(64, 2, 128, 2, 3).mean((1, 3)).transpose(2, 0, 1)
    assert np.abs(image - means).max() <= 0.5


def test_whole_images_keep_the_views_apart_and_the_colours_in_order():
    frames = {view: np.zeros((128, 256, 3), np.uint8) for view in VIEWS}
    frames["front"][..., 0] = 200
    frames["top"][..., 2] = 100
    images = view_images(frames)
    assert (images.front == np.array([200, 0, 0]).reshape(3, 1, 1)).all()
    assert (images.top == np.array([0, 0, 100]).reshape(3, 1, 1)).all()


@pytest.mark.parametrize("shape", [(128, 256), (64, 128, 3), (3, 128, 256)])
def test_another_image_than_a_policy_frame_is_refused(shape):
    with pytest.raises(VimaError, match=r"valid: uint8 \(128, 256, 3\)"):
        view_image(np.zeros(shape, np.uint8))
