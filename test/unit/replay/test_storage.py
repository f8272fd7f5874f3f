"""Recordings as they lie on people's disks: which files, in which state."""

import shutil
import sqlite3
from pathlib import Path

import pytest
import yaml
from recordings import Recording, write_recording
from rosbags.rosbag2 import CompressionMode, StoragePlugin, Writer

from vima_ros.errors import VimaError
from vima_ros.replay.bag import Bag

STORAGES = list(StoragePlugin)
each_storage = pytest.mark.parametrize("storage", STORAGES, ids=lambda storage: storage.name)


def bag_of(folder: Path, storage, **changes) -> Path:
    return write_recording(folder, Recording(storage=storage, steps=2, **changes))


def data_file(folder: Path) -> Path:
    (file,) = (file for file in folder.iterdir() if file.name != "metadata.yaml")
    return file


def check_read(path: Path) -> None:
    with Bag(path) as bag:
        assert bag.prompt().text == "Put the {block} aside."
        assert [len(step.frames) for step in bag.steps()] == [10, 10]


def refusal(path: Path) -> str:
    """What the refusal says, in one line."""
    with pytest.raises(VimaError) as caught, Bag(path) as bag:
        bag.steps()
    assert caught.value.code == "BAD_BAG"
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit_metadata(folder: Path, change) -> None:
    file = folder / "metadata.yaml"
    content = yaml.safe_load(file.read_text())
    change(content["rosbag2_bagfile_information"])
    file.write_text(yaml.safe_dump(content))


# --- what can be read


@each_storage
def test_without_metadata_the_file_is_read(tmp_path, storage):
    path = bag_of(tmp_path / "bag", storage)
    (path / "metadata.yaml").unlink()
    check_read(path)


@each_storage
def test_a_single_file_is_read(tmp_path, storage):
    path = bag_of(tmp_path / "bag", storage)
    alone = shutil.move(data_file(path), tmp_path)
    check_read(Path(alone))


@pytest.mark.slow
@each_storage
@pytest.mark.parametrize(
    "damage",
    ["", "rosbag2_bagfile_information: 7", "a: [", "- 1", "[" * 3000],
    ids=["empty", "number", "open", "list", "nested"],
)
def test_metadata_that_says_nothing_is_not_missed(tmp_path, storage, damage):
    path = bag_of(tmp_path / "bag", storage)
    (path / "metadata.yaml").write_text(damage)
    check_read(path)


@each_storage
def test_a_reindexed_recording_is_read(tmp_path, storage):
    """`ros2 bag reindex` has left out the storage identifier, and other profiles of topics."""

    def reindex(metadata):
        metadata["storage_identifier"] = ""
        for topic in metadata["topics_with_message_count"]:
            topic["topic_metadata"]["offered_qos_profiles"] = "- history: 3\n  depth: 0"

    path = bag_of(tmp_path / "bag", storage)
    edit_metadata(path, reindex)
    check_read(path)


@each_storage
@pytest.mark.parametrize("mode", [CompressionMode.FILE, CompressionMode.MESSAGE])
@pytest.mark.parametrize("metadata", [True, False], ids=["", "without metadata"])
def test_what_rosbag2_compressed_is_read(tmp_path, storage, mode, metadata):
    if (storage, mode) == (StoragePlugin.MCAP, CompressionMode.MESSAGE):
        pytest.skip("MCAP compresses chunks instead")
    path = bag_of(tmp_path / "bag", storage, compression=mode)
    if not metadata:
        (path / "metadata.yaml").unlink()
    check_read(path)


def test_mcap_chunks_may_be_compressed(tmp_path):
    path = bag_of(tmp_path / "bag", StoragePlugin.MCAP, compression=CompressionMode.STORAGE)
    check_read(path)


@each_storage
@pytest.mark.parametrize("metadata", [True, False], ids=["", "without metadata"])
def test_a_split_recording_is_read_whole(tmp_path, storage, metadata):
    """NAME_0 and NAME_1, as `ros2 bag record --max-bag-duration` leaves them."""
    path = bag_of(tmp_path / "bag", storage, actions="")
    first = data_file(path)
    # The same images again, of a bag that began where this one ended
    later = write_recording(tmp_path / "later", Recording(storage=storage, steps=2, start=2.0))
    shutil.move(first, path / f"bag_0{first.suffix}")
    shutil.move(data_file(later), path / f"bag_1{first.suffix}")
    names = [f"bag_{n}{first.suffix}" for n in (0, 1)]
    edit_metadata(path, lambda content: content.update(relative_file_paths=names))
    if not metadata:
        (path / "metadata.yaml").unlink()
    with Bag(path) as bag:
        assert [len(step.frames) for step in bag.steps()] == [30, 10]
    with Bag(path / names[1]) as bag:
        assert [len(step.frames) for step in bag.steps()] == [10, 10]


def test_a_renamed_file_is_read(tmp_path):
    path = bag_of(tmp_path / "bag", StoragePlugin.MCAP)
    data_file(path).rename(path / "monday.mcap")
    check_read(path)


# --- what cannot, and what mends it


@each_storage
def test_a_cut_recording_is_refused_with_what_mends_it(tmp_path, storage):
    path = bag_of(tmp_path / "bag", storage)
    file = data_file(path)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    mending = {StoragePlugin.MCAP: "`mcap recover", StoragePlugin.SQLITE3: ".recover | sqlite3"}
    for each in (path, file):
        message = refusal(each)
        assert file.name in message
        assert mending[storage] in message


def test_a_cut_compressed_recording_is_refused_with_what_mends_it(tmp_path):
    path = bag_of(tmp_path / "bag", StoragePlugin.MCAP, compression=CompressionMode.FILE)
    file = data_file(path)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert f"`zstd -d {file}`" in refusal(path)


def test_a_compressed_message_that_is_cut_is_refused(tmp_path):
    mode = CompressionMode.MESSAGE
    path = bag_of(tmp_path / "bag", StoragePlugin.SQLITE3, compression=mode)
    database = sqlite3.connect(data_file(path))
    database.execute("UPDATE messages SET data = substr(data, 1, length(data) - 9)")
    database.commit()
    database.close()
    assert "is damaged" in refusal(path)


def test_a_recorder_that_was_killed_leaves_what_is_not_in_the_file(tmp_path):
    path = bag_of(tmp_path / "bag", StoragePlugin.SQLITE3)
    file = data_file(path)
    Path(f"{file}-wal").write_bytes(b"pages")
    assert "PRAGMA wal_checkpoint" in refusal(path)


@each_storage
def test_an_empty_file_is_said(tmp_path, storage):
    path = bag_of(tmp_path / "bag", storage)
    data_file(path).write_bytes(b"")
    assert "is empty, nothing was recorded" in refusal(path)


@each_storage
def test_a_recording_of_nothing_is_said(tmp_path, storage):
    with Writer(tmp_path / "bag", version=9, storage_plugin=storage):
        pass
    assert "holds no messages" in refusal(tmp_path / "bag")


def test_a_listed_file_that_is_missing_is_named(tmp_path):
    path = bag_of(tmp_path / "bag", StoragePlugin.MCAP)
    names = ["bag.mcap", "bag_1.mcap"]
    edit_metadata(path, lambda content: content.update(relative_file_paths=names))
    message = refusal(path)
    assert "lists bag_1.mcap, which" in message
    assert "ros2 bag reindex" in message


def test_a_folder_of_several_recordings_names_them(tmp_path):
    for name in ("monday", "tuesday"):
        bag_of(tmp_path / "all" / name, StoragePlugin.MCAP)
    assert "several recordings, monday, tuesday" in refusal(tmp_path / "all")
    for name in ("monday", "tuesday"):
        shutil.move(data_file(tmp_path / "all" / name), tmp_path / "all")
        shutil.rmtree(tmp_path / "all" / name)
    assert "several recordings, monday.mcap, tuesday.mcap" in refusal(tmp_path / "all")


def test_a_recording_of_ros_1_is_said(tmp_path):
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    assert "rosbags-convert" in refusal(tmp_path / "old.bag")


@pytest.mark.slow
def test_deeply_nested_metadata_of_no_recording_is_refused(tmp_path):
    (tmp_path / "metadata.yaml").write_text("[" * 3000)
    assert "its metadata.yaml is not rosbag2's" in refusal(tmp_path)
