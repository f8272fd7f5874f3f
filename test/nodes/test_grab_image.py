"""`calibrate` takes its picture and camera_info from a running camera."""

import threading

import cv2
import numpy as np
import pytest
from rendered_table import PinholeCamera, table_texture
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vima_ros.cli import grab_image
from vima_ros.cli.calibrate.main import main
from vima_ros.client.client import Client
from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.nodes.common import image_conversion, qos
from vima_ros.perception.calibration.calibration import workspace_corners
from vima_ros.perception.calibration.camera_model import Lens
from vima_ros.perception.calibration.io import load_calibration

CAMERA = PinholeCamera(d=(-0.2, 0.06, 0.001, -0.001, 0.0))
PICTURE = CAMERA.look_at(table_texture())


@pytest.fixture
def camera():
    """Publishes the picture, plain and compressed, and its camera_info until the test ends."""
    info = CameraInfo(width=640, height=480, distortion_model="plumb_bob", d=list(CAMERA.d))
    info.k = CAMERA.k.ravel().tolist()
    jpeg = cv2.imencode(".jpg", PICTURE, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    ended = threading.Event()
    with Client("camera") as client:
        messages = {
            client.publisher(Image, "front/image_raw", qos.CAMERA): image_conversion.encode(
                PICTURE, "rgb8"
            ),
            client.publisher(CameraInfo, "front/camera_info", qos.CAMERA): info,
            client.publisher(
                CompressedImage, "front/image_raw/compressed", qos.CAMERA
            ): CompressedImage(format="jpeg", data=jpeg),
        }

        def publish():
            while not ended.wait(0.1):
                for publisher, message in messages.items():
                    publisher.publish(message)

        thread = threading.Thread(target=publish)
        thread.start()
        yield
        ended.set()
        thread.join()


@pytest.mark.parametrize("topic", ["front/image_raw", "front/image_raw/compressed"])
def test_a_view_from_a_topic(camera, tmp_path, topic):
    corners = CAMERA.show(workspace_corners(Workspace()))
    words = ["view", "front", "--topic", topic, "--camera-info", "front/camera_info"]
    words += ["--corners", *(f"{x:.3f},{y:.3f}" for x, y in corners)]
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", *words, "--out", str(tmp_path / "front.yaml"), "--ros-args"])
    assert ended.value.code == 0
    made = load_calibration(tmp_path / "front.yaml")
    assert made.lens.equals(Lens(CAMERA.k, CAMERA.d))
    np.testing.assert_allclose(
        made.camera_to_table(corners), workspace_corners(Workspace()), atol=1e-4
    )
    assert made.patches.std() > 30


def test_a_camera_that_is_silent_is_named(monkeypatch):
    monkeypatch.setattr(grab_image, "TIMEOUT", 0.5)
    with pytest.raises(VimaError, match="top/image_raw") as error:
        grab_image.take_picture("/vima", "top/image_raw", None)
    assert error.value.code == "TIMEOUT"
