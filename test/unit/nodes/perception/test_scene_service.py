"""The service get_scene, without ROS: the latest result, and the object of each pixel."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2: run `make test`, which prepares it")
pytest.importorskip("vima_msgs", reason="vima_msgs is not built: run `make test`")

from std_msgs.msg import Header

from vima_msgs.srv import GetScene
from vima_ros.errors import VimaError
from vima_ros.nodes.common import image_conversion
from vima_ros.nodes.perception.scene_service import SceneService
from vima_ros.perception.pipeline import PerceptionResult
from vima_ros.specs import EndEffector, Observation, ViewObjects


@pytest.fixture
def scene():
    callbacks = []
    node = SimpleNamespace(create_service=lambda kind, name, callback: callbacks.append(callback))
    service = SceneService(node)
    service.get = lambda: callbacks[0](GetScene.Request(), GetScene.Response())
    return service


def view(track_ids):
    n = len(track_ids)
    return ViewObjects(
        np.ones((n, 4), np.int64),
        np.zeros((n, 3, 32, 32), np.uint8),
        np.ones(n, np.float32),
        np.array(track_ids, np.int64),
    )


def test_labels_number_the_objects_in_the_order_of_the_observation(scene):
    views = {"front": view([70000, 5]), "top": view([5])}
    track_ids = {"front": np.array([[0, 5], [70000, 5]]), "top": np.array([[5, 0]])}
    observation = Observation(**views, end_effector=EndEffector.SUCTION, stamp=7)
    frames = {name: np.zeros((*ids.shape, 3), np.uint8) for name, ids in track_ids.items()}
    result = SimpleNamespace(
        code="OK", message="", observation=observation, frames=frames, labels=track_ids.get
    )
    scene.update(result, {name: Header() for name in views})
    response = scene.get()
    assert response.success
    labels = image_conversion.decode_mask(response.front_labels)
    assert labels.tolist() == [[0, 2], [1, 2]]
    assert [o.track_id for o in response.observation.front.objects] == [70000, 5]


def test_a_refusal_and_no_result_are_reported(scene):
    assert scene.get().code == "NO_FRAMES"
    scene.update(PerceptionResult({"any": 1}).refuse(VimaError("NO_OBJECT", "nothing")), {})
    response = scene.get()
    assert (response.success, response.code, response.message) == (False, "NO_OBJECT", "nothing")
    scene.clear()
    assert scene.get().code == "NO_FRAMES"
