"""`grab_image` saves an image and its camera_info of a running camera; `calibrate` reads them."""

import threading

import cv2
import numpy as np
import pytest
from rendered_table import PinholeCamera, table_texture
from sensor_msgs.msg import CameraInfo, CompressedImage

from vima_ros.cli import grab_image
from vima_ros.cli.calibrate import main as calibrate
from vima_ros.client.client import Client
from vima_ros.geometry import Workspace
from vima_ros.nodes.common import image_conversion, qos
from vima_ros.perception.calibration.calibration import workspace_corners
from vima_ros.perception.calibration.camera_info import read_camera_info
from vima_ros.perception.calibration.camera_model import CameraModel
from vima_ros.perception.calibration.io import load_calibration
from vima_ros.program import exit_code

CAMERA = PinholeCamera(d=(-0.2, 0.06, 0.001, -0.001, 0.0))
RECTIFIED = np.diag([0.9, 0.9, 1.0]) @ CAMERA.k  # camera matrix of the rectified images
IMAGE = CAMERA.look_at(table_texture())


@pytest.fixture
def camera():
    """Publishes the image, plain and compressed, and its camera_info until the test ends."""
    info = CameraInfo(width=640, height=480, distortion_model="plumb_bob", d=list(CAMERA.d))
    info.k = CAMERA.k.ravel().tolist()
    info.p = np.column_stack([RECTIFIED, np.zeros(3)]).ravel().tolist()
    jpeg = cv2.imencode(".jpg", IMAGE, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    ended = threading.Event()
    with Client("camera") as client:
        plain = image_conversion.encode(IMAGE, "rgb8")
        compressed = CompressedImage(format="jpeg", data=jpeg)
        messages = {
            client.create_publisher(type(message), f"front/{topic}", qos.SENSOR_DATA): message
            for topic, message in {
                "image_raw": plain,
                "image_rect": plain,
                "image_raw/compressed": compressed,
                "camera_info": info,
            }.items()
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


def run(program, *words):
    return exit_code(program.__name__, program.main, [*map(str, words)])


@pytest.mark.parametrize("topic", ["front/image_raw", "front/image_raw/compressed"])
def test_an_image_and_its_camera_info_become_a_calibration(camera, tmp_path, topic):
    image, info = tmp_path / "front.png", tmp_path / "info.yaml"
    words = [topic, "--out", image, "--camera-info", info, "--ros-args"]
    assert run(grab_image, *words) == 0
    corners = CAMERA.show(workspace_corners(Workspace()))
    words = ["view", "front", "--image", image, "--camera-info", info]
    words += ["--corners", *(f"{x:.3f},{y:.3f}" for x, y in corners)]
    assert run(calibrate, *words, "--out", tmp_path / "front.yaml") == 0
    made = load_calibration(tmp_path / "front.yaml")
    assert made.camera_model.equals(CameraModel(CAMERA.k, CAMERA.d))
    np.testing.assert_allclose(
        made.camera_to_table(corners), workspace_corners(Workspace()), atol=1e-4
    )
    assert made.patches.std() > 30


def test_a_rectified_image_has_a_camera_info_without_distortion(camera, tmp_path):
    words = ["front/image_rect", "--out", tmp_path / "front.png"]
    assert run(grab_image, *words, "--camera-info", tmp_path / "info.yaml") == 0
    lens = CameraModel.from_camera_info(read_camera_info(tmp_path / "info.yaml"), (640, 480))
    assert lens.equals(CameraModel(RECTIFIED, ()))


def test_nothing_is_overwritten_unasked(tmp_path, capsys):
    image, info = tmp_path / "front.png", tmp_path / "info.yaml"
    info.write_text("mine")
    assert run(grab_image, "front/image_raw", "--out", image, "--camera-info", info) == 2
    assert "FILE_EXISTS" in capsys.readouterr().err
    assert info.read_text() == "mine"
    assert not image.exists()


def test_a_silent_camera_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(grab_image, "TIMEOUT", 0.5)
    assert run(grab_image, "top/image_raw", "--out", tmp_path / "top.png") == 2
    waiting, timeout = capsys.readouterr().err.splitlines()
    assert waiting == "waiting for image on /vima/top/image_raw, up to 0.5 s …"
    assert "grab_image: TIMEOUT: no image on /vima/top/image_raw" in timeout


@pytest.mark.parametrize(
    ("topic", "info"),
    {
        "front/image_raw": "front/camera_info",
        "front/image_raw/compressed": "front/camera_info",
        "/camera/image_rect": "/camera/camera_info",
        "image": "camera_info",
        "/image": "/camera_info",
    }.items(),
)
def test_camera_info_stands_beside_the_image(topic, info):
    assert grab_image.camera_info_topic(topic) == info
