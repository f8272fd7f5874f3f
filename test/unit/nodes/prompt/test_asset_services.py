"""Captures into the asset library, without ROS: what is refused, and why."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="no ROS 2: run `make test`, which prepares it")
pytest.importorskip("vima_msgs", reason="vima_msgs is not built: run `make test`")

from vima_msgs.srv import CaptureAsset, GetScene, ListAssets
from vima_ros.errors import WaitTimeoutError
from vima_ros.nodes.common.diagnostics import PerformanceStatistics
from vima_ros.nodes.prompt.asset_services import AssetServices
from vima_ros.prompt.asset_library import AssetLibrary


class FakeNode:
    """As much of a node as the services use; ``scene``: what get_scene answers, None: nothing."""

    active = True

    def __init__(self):
        self.services, self.scene, self.statistics = {}, None, PerformanceStatistics()

    def create_client(self, kind, name):
        return SimpleNamespace(call_async=lambda request: self.scene)

    def create_service(self, kind, name, callback):
        self.services[name] = callback

    async def wait_for_response(self, response, timeout):
        if response is None:
            raise WaitTimeoutError(f"no answer within {timeout:g} s", timeout)
        return response

    def get_logger(self):
        return SimpleNamespace(warning=lambda text: None, error=lambda text: None)


@pytest.fixture
def node(tmp_path):
    node = FakeNode()
    node.folder = tmp_path
    AssetServices(node, AssetLibrary(tmp_path, 10, 10**9))
    return node


def capture(node, **fields):
    coroutine = node.services["capture_asset"](
        CaptureAsset.Request(**fields), CaptureAsset.Response()
    )
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)
    return end.value.value


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        (None, "the perception node does not respond"),
        (GetScene.Response(code="NO_FRAMES", message="none yet"), "NO_FRAMES: none yet"),
    ],
    ids=["silent", "refused"],
)
def test_without_a_scene_nothing_is_captured(node, scene, message):
    node.scene = scene
    response = capture(node, name="cup", kind=1)
    assert (response.success, response.code) == (False, "NO_OBSERVATION")
    assert response.message == message
    assert node.statistics.values()["last refusal"]["code"] == "NO_OBSERVATION"


def test_what_cannot_be_captured_is_refused_before_perception_is_asked(node):
    node.scene = AssertionError  # not awaited
    assert capture(node, name="cup", kind=7).code == "BAD_KIND"
    assert capture(node, name="no/name").code == "BAD_NAME"
    node.active = False
    assert capture(node, name="cup").code == "NOT_ACTIVE"


def test_an_unreadable_asset_is_listed_as_such(node):
    (node.folder / "broken").mkdir()
    (node.folder / "broken" / "asset.yaml").write_text("no metadata")
    response = node.services["list_assets"](ListAssets.Request(), ListAssets.Response())
    assert (response.success, list(response.unreadable)) == (True, ["broken"])
