import sqlite3

import cv2
import numpy as np
import pytest
from recordings import DEFINITIONS, PROMPT, Messages, Recording, write_recording
from rosbags.rosbag2 import StoragePlugin

pytest.importorskip("vima_msgs", reason="vima_msgs is not built: run `make test`")

from vima_ros.cli import replay
from vima_ros.client.bag_player.prompt import prompt_from_files, recorded_prompt
from vima_ros.errors import VimaError
from vima_ros.program import exit_code
from vima_ros.replay.bag import Bag

PROMPT_TYPE, ASSET_TYPE = "vima_msgs/msg/Prompt", "vima_msgs/msg/PromptAsset"
OTHER_LAYOUTS = {
    "two fields": {PROMPT_TYPE: "string text\nstring[] names"},
    "one more field": {PROMPT_TYPE: DEFINITIONS[PROMPT_TYPE] + "\nbool hold"},
    "without a header": {PROMPT_TYPE: "string text\nvima_msgs/PromptAsset[] assets"},
    "other order": {
        PROMPT_TYPE: "string text\nstd_msgs/Header header\nvima_msgs/PromptAsset[] assets"
    },
    "other assets": {ASSET_TYPE: DEFINITIONS[ASSET_TYPE].replace("uint8 kind", "uint32 kind")},
}


class OtherVersion(Messages):
    """Makes prompts of another layout, whose fields have their zeros but for the text."""

    def prompt(self, text):
        values = {
            "text": text,
            "names": ["block"],
            "header": self.header(0),
            "hold": True,
            "assets": [],
        }
        fields = [name for name, _ in self.store.fielddefs[PROMPT_TYPE][1]]
        return self.make(PROMPT_TYPE, *(values[name] for name in fields))


def prompt_of(path):
    with Bag(path) as bag:
        return recorded_prompt(path, bag.prompt())


def forget_definitions(path):
    """As recordings of Humble and before."""
    (file,) = path.glob("*.db3")
    database = sqlite3.connect(file)
    database.execute("DELETE FROM message_definitions")
    database.commit()
    database.close()


def check_refused(path, capfd, *words):
    """By the program, before it starts anything, in one sentence."""
    assert exit_code("replay", replay.main, ["--bringup", str(path)]) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    for word in words:
        assert word in said


@pytest.mark.parametrize("storage", list(StoragePlugin), ids=lambda storage: storage.name)
@pytest.mark.parametrize("definitions", [True, False], ids=["", "without definitions"])
def test_a_message_of_this_version_is_the_prompt(tmp_path, storage, definitions):
    if not definitions and storage != StoragePlugin.SQLITE3:
        pytest.skip("MCAP always has them")
    path = write_recording(tmp_path / "bag", Recording(storage=storage, prompt="message"))
    if not definitions:
        forget_definitions(path)
    prompt = prompt_of(path)
    assert (prompt.text, [asset.name for asset in prompt.assets]) == (PROMPT["text"], ["block"])
    assert (prompt.assets[0].front.width, len(prompt.assets[0].top.data)) == (256, 0)


def test_pictures_of_the_prompt_may_be_compressed(tmp_path):
    plain = prompt_of(write_recording(tmp_path / "plain", Recording()))
    packed = prompt_of(write_recording(tmp_path / "packed", Recording(compressed_prompt=True)))
    for a, b in zip(plain.assets, packed.assets, strict=True):
        for view in ("front", "top"):
            one, other = (np.array(getattr(asset, view).data, int) for asset in (a, b))
            assert np.abs(one - other).mean() < 5


@pytest.mark.parametrize("changed", OTHER_LAYOUTS.values(), ids=OTHER_LAYOUTS)
def test_a_message_of_another_version_is_refused(tmp_path, capfd, changed):
    messages = OtherVersion(DEFINITIONS | changed)
    path = write_recording(tmp_path / "bag", Recording(prompt="message"), messages=messages)
    check_refused(path, capfd, "BAD_BAG", "/prompt", "another version's layout", "--prompt")


@pytest.mark.parametrize("layout", ["two fields", "without a header"])
def test_so_it_is_where_the_definition_was_not_recorded(tmp_path, capfd, layout):
    messages = OtherVersion(DEFINITIONS | OTHER_LAYOUTS[layout])
    recording = Recording(prompt="message", storage=StoragePlugin.SQLITE3)
    path = write_recording(tmp_path / "bag", recording, messages=messages)
    forget_definitions(path)
    check_refused(path, capfd, "BAD_BAG", "/prompt", "another version's layout", "--prompt")


def test_a_recording_without_a_prompt_is_refused_at_once(tmp_path, capfd):
    path = write_recording(tmp_path / "bag", Recording(prompt=None))
    check_refused(path, capfd, "holds no prompt", "--prompt", "--image")


def test_a_prompt_from_files_has_the_given_pictures(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((128, 256, 3), 200, np.uint8))
    one = f"{tmp_path}/a.png"
    prompt = prompt_from_files("Put the {a} into the {b}.", [f"a={one},{one}"], [f"b=,{one}"])
    assert [(asset.name, asset.kind) for asset in prompt.assets] == [("a", 0), ("b", 1)]
    assert [len(asset.front.data) > 0 for asset in prompt.assets] == [True, False]
    with pytest.raises(VimaError, match=r"no image in file 'none.png'"):
        prompt_from_files("{a}", ["a=none.png"], [])


def test_pictures_without_a_prompt_are_refused(tmp_path, capfd):
    assert exit_code("replay", replay.main, [str(tmp_path), "--image", "a=a.png"]) == 2
    assert "--prompt" in capfd.readouterr().err
