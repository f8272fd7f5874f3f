"""Which topics of a recording are the cameras, the prompt, the decisions and the robot."""

import pytest
from recordings import Recording, write_recording
from rosbags.rosbag2 import StoragePlugin

from vima_ros.errors import VimaError
from vima_ros.replay.bag import Bag


def check_steps(path, topics=None):
    with Bag(path, topics) as bag:
        assert [len(step.frames) for step in bag.steps()] == [10, 10, 10]
        return [frame for step in bag.steps() for frame in step.frames]


@pytest.mark.slow
@pytest.mark.parametrize("compressed", [("front", "top"), ("top",), ()])
@pytest.mark.parametrize("namespace", ["", "/vima", "/cell/right"])
def test_the_cameras_are_found_by_themselves(tmp_path, namespace, compressed):
    recording = Recording(namespace=namespace, compressed=compressed)
    path = write_recording(tmp_path / "bag", recording)
    for frame in check_steps(path):
        assert frame.compressed == (frame.view in compressed)
    with Bag(path) as bag:
        assert bag.compressed == (compressed == ("front", "top"))


@pytest.mark.parametrize("ending", ["", "/compressed"])
def test_given_topics_may_leave_out_that_they_are_compressed(tmp_path, ending):
    path = write_recording(tmp_path / "bag", Recording(compressed=("front", "top")))
    names = {view: f"/{view}/image_raw{ending}" for view in ("front", "top")}
    assert all(frame.compressed for frame in check_steps(path, names))


def test_topics_of_other_names_are_listed(tmp_path):
    path = write_recording(tmp_path / "bag", Recording(cameras=("left", "above")))
    with pytest.raises(VimaError) as refused, Bag(path):
        pass
    assert refused.value.code == "BAD_BAG"
    for word in ("/left/image_raw", "/above/image_raw", "--front", "--top"):
        assert word in str(refused.value)
    assert "/prompt_assets" not in str(refused.value)
    check_steps(path, {"front": "/left/image_raw", "top": "/above/image_raw"})


def test_of_two_robots_one_is_to_be_named(tmp_path):
    recordings = [Recording(namespace=f"/{name}", prompt="message") for name in ("left", "right")]
    path = write_recording(tmp_path / "bag", *recordings)
    with pytest.raises(VimaError, match=r"/left/front/image_raw, /right/front/image_raw; --front"):
        Bag(path)
    names = {view: f"/right/{view}/image_raw" for view in ("front", "top")}
    with Bag(path, names) as bag:
        assert bag.prompt().topic == "/right/prompt"


@pytest.mark.parametrize("storage", list(StoragePlugin), ids=lambda storage: storage.name)
def test_our_own_recording_has_its_prompt_and_its_tool(tmp_path, storage):
    recording = Recording(
        storage=storage, namespace="/vima", prompt="message", actions="policy", end_effector=1
    )
    path = write_recording(tmp_path / "bag", recording)
    with Bag(path) as bag:
        prompt = bag.prompt()
    assert (prompt.topic, prompt.end_effector) == ("/vima/prompt", "spatula")
    assert {"vima_msgs/msg/Prompt", "vima_msgs/msg/PromptAsset"} <= set(prompt.layout)
    check_steps(path)


def test_without_a_robot_the_tool_is_suction(tmp_path):
    with Bag(write_recording(tmp_path / "bag", Recording(prompt=None))) as bag:
        assert bag.end_effector() == "suction"
