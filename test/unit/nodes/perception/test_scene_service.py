"""The service get_scene, without ROS: the latest result, and the object of each pixel."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2: run `make test`, which prepares it")
pytest.importorskip("vima_msgs", reason="vima_msgs is not built: run `make test`")

from std_msgs.msg import Header

from vima_msgs.srv import GetScene
from vima_ros.errors import VimaError, WaitTimeoutError
from vima_ros.nodes.common import image_conversion
from vima_ros.nodes.perception.scene_service import SceneService
from vima_ros.perception.pipeline import PerceptionResult
from vima_ros.specs import VIEWS, EndEffector, Observation, ViewImages, ViewObjects


class FakeNode:
    """As much of a node as the service uses; its waits end by a result, or by ``timeout``."""

    timeout = False

    def create_service(self, kind, name, callback):
        self.callback = callback

    async def wait_for_response(self, future, seconds):
        while not future.done():
            if self.timeout:
                raise WaitTimeoutError(f"no answer within {seconds:g} s", seconds)
            await Pause()
        return future.result()


class Pause:
    def __await__(self):
        yield


class Request:
    """A request in progress; ``response`` is None while it waits."""

    def __init__(self, node):
        self._running = node.callback(GetScene.Request(), GetScene.Response())
        self.response = None
        self.go_on()

    def go_on(self):
        try:
            self._running.send(None)
        except StopIteration as ended:
            self.response = ended.value
        return self.response


@pytest.fixture
def scene():
    node = FakeNode()
    service = SceneService(node)
    service.node, service.get = node, lambda: Request(node).response
    return service


def result_with(observation, track_ids):
    frames = {name: np.zeros((*ids.shape, 3), np.uint8) for name, ids in track_ids.items()}
    return SimpleNamespace(
        code="OK",
        message="",
        observation=observation,
        frames=frames,
        labels=track_ids.get,
        scene=None,
    )


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
    scene.update(result_with(observation, track_ids), {name: Header() for name in views})
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


def whole_images():
    """A result of whole images, for which no detector was run."""
    blank = np.zeros((3, 64, 128), np.uint8)
    images = ViewImages(blank, blank)
    return result_with(Observation(view([]), view([]), stamp=8, images=images), {})


HEADERS = {name: Header() for name in VIEWS}


def test_of_whole_images_the_objects_are_requested_from_the_next_pair(scene):
    scene.update(whole_images(), HEADERS)
    assert not scene.wanted
    first, second = Request(scene.node), Request(scene.node)
    assert (first.response, second.response, scene.wanted) == (None, None, True)
    scene.update(whole_images(), HEADERS)  # a pair that was being processed before the request
    assert (first.go_on(), second.go_on(), scene.wanted) == (None, None, True)
    found = whole_images()
    found.scene = result_with(
        Observation(view([4]), view([])), dict.fromkeys(VIEWS, np.full((1, 1), 4))
    )
    scene.update(found, HEADERS)
    scene.update(whole_images(), HEADERS)  # newer, before the requests go on
    for request in (first, second):
        assert [o.track_id for o in request.go_on().observation.front.objects] == [4]
        assert len(request.response.observation.images.front) == 0
    assert not scene.wanted


def test_a_request_for_objects_ends_with_a_refusal_the_end_or_the_time_limit(scene):
    scene.update(whole_images(), HEADERS)
    waiting = Request(scene.node)
    scene.update(PerceptionResult({"any": 1}).refuse(VimaError("STALE", "old")), {})
    assert (waiting.go_on().success, waiting.response.code) == (False, "STALE")
    scene.update(whole_images(), HEADERS)
    waiting = Request(scene.node)
    scene.clear()
    assert waiting.go_on().code == "NO_FRAMES"
    scene.update(whole_images(), HEADERS)
    scene.node.timeout = True
    assert scene.get().code == "NO_FRAMES"
