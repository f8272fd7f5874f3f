import errno
import hashlib
import json
import os

import cv2
import numpy as np
import pytest

from vima_ros import files
from vima_ros.errors import VimaError


def test_a_file_has_its_name_once_it_is_whole(tmp_path):
    path = tmp_path / "new" / "report.md"
    with files.open_atomic(path) as file:
        file.write(b"half")
        assert not path.exists()
    assert path.read_bytes() == b"half"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_where_writing_fails_the_file_before_stays_alone(tmp_path, failure):
    path = tmp_path / "report.md"
    files.write_atomic(path, b"before")

    def fail():
        with files.open_atomic(path) as file:
            file.write(b"half")
            raise failure

    with pytest.raises((VimaError, KeyboardInterrupt)) as raised:
        fail()
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == [path.name]
    if isinstance(failure, OSError):
        assert raised.value.code == "CANNOT_WRITE"
        assert f"{path}: No space left" in str(raised.value)


def test_a_path_that_is_written_by_others_is_atomic_too(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with files.atomic_path(path) as unfinished:
        unfinished.write_text("ne")
        assert path.read_text() == "old"
        unfinished.write_text("new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file"]
    with (
        pytest.raises(VimaError, match=r"none/file: No such file") as error,
        files.atomic_path(tmp_path / "none" / "file") as unfinished,
    ):
        unfinished.write_text("new")
    assert error.value.code == "CANNOT_WRITE"


def test_the_first_line_of_an_error_is_short():
    assert files.first_line(RuntimeError("disk full\nstack")) == "disk full"
    assert files.first_line(RuntimeError("")) == "RuntimeError"
    assert len(files.first_line(RuntimeError("x" * 1000))) == 300


def test_the_hash_of_bytes_and_files_is_that_of_all_of_them_in_order(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * 5000)  # more than one chunk
    whole = hashlib.sha256(b"a" + path.read_bytes() + b"b").hexdigest()
    assert files.sha256_of(b"a", path, b"b") == whole
    assert files.sha256_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert files.sha256_of(b"b", path, b"a") != whole


def test_json_is_written_for_programs_and_people(tmp_path):
    files.write_json(tmp_path / "new" / "facts.json", {"a": [1, None]})
    text = (tmp_path / "new" / "facts.json").read_text()
    assert json.loads(text) == {"a": [1, None]}
    assert text.count("\n") > 3
    with pytest.raises(VimaError) as error:
        files.write_json(tmp_path, {})
    assert error.value.code == "CANNOT_WRITE"


def test_a_folder_is_tried_without_leaving_anything(tmp_path):
    assert files.prepare_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    files.prepare_folder(tmp_path / "a" / "b")
    assert os.listdir(tmp_path / "a" / "b") == []
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(VimaError, match=str(path)) as error:
            files.prepare_folder(path)
        assert error.value.code == "BAD_FOLDER"


def test_an_image_is_written_as_its_ending_says(tmp_path):
    rgb = np.zeros((4, 6, 3), np.uint8)
    rgb[..., 0] = 200
    files.write_image(tmp_path / "a.png", rgb)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], rgb)
    for name in ("a.none", "a"):
        with pytest.raises(VimaError) as error:
            files.write_image(tmp_path / name, rgb)
        assert error.value.code == "CANNOT_WRITE"
