import contextlib
import errno
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vima_ros.errors import VimaError
from vima_ros.prompt.asset_library import AssetLibrary, StoredAsset
from vima_ros.specs import AssetKind


def asset(name="block", seed=0, kind=AssetKind.OBJECT, views=("front", "top"), **values):
    random = np.random.default_rng(seed)
    images = {}
    for view in views:
        rgb = random.integers(0, 256, (128, 256, 3), np.uint8)
        mask = np.zeros((128, 256), np.uint16)
        mask[20:50, 30:70] = 1
        if kind == AssetKind.SCENE:
            mask[60:80, 100:130] = 65535
        images[view] = rgb, mask
    return StoredAsset(name, kind, images, **values)


def same(one, other):
    assert (one.name, one.kind, one.stamp) == (other.name, other.kind, other.stamp)
    assert dict(one.origin) == dict(other.origin)
    assert one.views.keys() == other.views.keys()
    for view in one.views:
        for a, b in zip(one.views[view], other.views[view], strict=True):
            assert np.array_equal(a, b)
            assert a.dtype == b.dtype


@pytest.fixture
def library(tmp_path):
    return AssetLibrary(tmp_path / "assets")


def code(call, *args):
    with pytest.raises(VimaError) as caught:
        call(*args)
    assert len(str(caught.value)) > 15
    return caught.value.code


@pytest.mark.parametrize("kind", AssetKind)
@pytest.mark.parametrize("views", [("front",), ("top",), ("front", "top")])
def test_what_is_saved_is_loaded_after_a_restart_too(library, kind, views):
    kept = asset(kind=kind, views=views, stamp=123456789012345678, origin={"track_id": 3})
    library.save(kept)
    same(library.load("block"), kept)
    same(AssetLibrary(library.folder).load("block"), kept)


def test_an_object_that_one_view_does_not_show_is_kept_with_both(library):
    kept = asset()
    kept.views["top"][1][:] = 0
    library.save(kept)
    same(library.load("block"), kept)
    assert kept.counts() == {"front": 1, "top": 0}
    assert not (library.folder / "block" / "top_object.png").exists()


def test_its_files_are_readable_by_people(library):
    library.save(asset(origin={"track_id": 3, "front_box": [1, 2, 3, 4]}))
    folder = library.folder / "block"
    assert sorted(p.name for p in folder.iterdir()) == [
        "asset.yaml",
        "front.png",
        "front_mask.png",
        "front_object.png",
        "top.png",
        "top_mask.png",
        "top_object.png",
    ]
    text = (folder / "asset.yaml").read_text()
    assert "{block}" in text
    assert "kind: object" in text
    assert "track_id: 3" in text
    assert cv2.imread(str(folder / "front_object.png")).shape == (30, 40, 3)


def test_the_same_name_replaces_and_delete_takes_away(library):
    library.save(asset(seed=1))
    library.save(asset(seed=2))
    assert library.names() == ["block"]
    same(library.load("block"), asset(seed=2))
    library.delete("block")
    assert library.names() == []
    assert code(library.load, "block") == code(library.delete, "block") == "UNKNOWN_PLACEHOLDER"


@pytest.mark.parametrize("name", ["", "a b", "../up", "a/b", ".", "..", "x" * 65, "ä", "a\n"])
def test_a_name_that_no_prompt_could_use_is_refused_and_nothing_is_written(library, name):
    assert code(library.save, asset(name)) == "BAD_NAME"
    assert not library.folder.exists()
    assert code(library.load, name) == "UNKNOWN_PLACEHOLDER"


def test_a_library_holds_max_assets_and_max_bytes(tmp_path):
    few = AssetLibrary(tmp_path / "few", max_assets=2)
    for name in "ab":
        few.save(asset(name))
    assert code(few.save, asset("c")) == "LIBRARY_FULL"
    few.save(asset("b", seed=5))  # what is replaced does not count
    small = AssetLibrary(tmp_path / "small", max_bytes=300_000)
    small.save(asset("a", views=("front",)))
    assert code(small.save, asset("b")) == "LIBRARY_FULL"
    assert small.names() == ["a"]
    assert [p.name for p in small.folder.iterdir()] == ["a"]


class DiskFullAfter:
    """Lets so many calls through, then the disk is full."""

    def __init__(self, real, count):
        self.real, self.left = real, count

    def __call__(self, *args, **kwargs):
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.real(*args, **kwargs)


@pytest.mark.parametrize("call", ["fsync", "rename"])
@pytest.mark.parametrize("after", range(10))
def test_a_full_disk_leaves_the_old_one_whole(tmp_path, monkeypatch, call, after):
    library = AssetLibrary(tmp_path / "assets")
    library.save(asset(seed=1))
    with monkeypatch.context() as patch:
        failing = DiskFullAfter(getattr(os, call), after)
        patch.setattr(os, call, failing)
        try:
            library.save(asset(seed=2))
            saved = True
        except VimaError as error:
            saved = False
            told = error
        full = failing.left < 0
    if not saved:
        assert full
        assert told.code == "LIBRARY_ERROR"
        assert "No space left" in str(told)
    reopened = AssetLibrary(library.folder)
    assert reopened.names() == ["block"]
    seeds = [2] if saved else [1, 2]
    assert any(
        np.array_equal(reopened.load("block").views["front"][0], asset(seed=s).views["front"][0])
        for s in seeds
    )
    assert [p.name for p in library.folder.iterdir()] == ["block"]


class Dies(BaseException):
    """The process ends here."""


@pytest.mark.slow
@settings(max_examples=25)
@given(after=st.integers(0, 14))
def test_a_crash_at_any_moment_leaves_old_or_new(tmp_path_factory, after):
    folder = tmp_path_factory.mktemp("crash")
    AssetLibrary(folder).save(asset(seed=1))
    count = 0

    def dying(real):
        def call(*args, **kwargs):
            nonlocal count
            count += 1
            if count > after:
                raise Dies
            return real(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (os, "fsync"),
            (os, "rename"),
            (shutil, "rmtree"),  # even cleaning up does not come to pass
        ):
            patch.setattr(module, name, dying(getattr(module, name)))
        with contextlib.suppress(Dies):
            AssetLibrary(folder).save(asset(seed=2))
    reopened = AssetLibrary(folder)
    assert reopened.names() == ["block"]
    loaded = reopened.load("block")
    seed = 1 if np.array_equal(loaded.views["front"][0], asset(seed=1).views["front"][0]) else 2
    same(loaded, asset(seed=seed))
    assert [p.name for p in folder.iterdir()] == ["block"]


# A few hundred bytes that stand for 9 ** 9 words.
LAUGHS = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (own, own, b", ".join([b"*%c" % last] * 9))
    for last, own in zip(b"abcdefgh", b"bcdefghi", strict=True)
)


def png(array):
    return cv2.imencode(".png", array)[1].tobytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("asset.yaml", b""),
        ("asset.yaml", b"kind: [object"),
        ("asset.yaml", b"kind: car\nstamp_ns: 1\n"),
        ("asset.yaml", b"kind: object\nstamp_ns: -1\n"),
        ("asset.yaml", b"kind: object\nstamp_ns: 1\norigin: 3\n"),
        ("asset.yaml", b"!!python/object/apply:os.system ['false']"),
        ("asset.yaml", b"#" * 10_001),
        ("asset.yaml", b"[" * 9_000),
        ("asset.yaml", b"kind: object\nstamp_ns: " + b"9" * 30),
        ("asset.yaml", b"kind: object\nstamp_ns: true\n"),
        ("asset.yaml", b"- object\n"),
        ("asset.yaml", LAUGHS + b"kind: *i\nstamp_ns: 1\n"),
        ("asset.yaml", LAUGHS + b"kind: object\nstamp_ns: *i\n"),
        ("front.png", b"no image"),
        ("front.png", png(np.zeros((64, 64, 3), np.uint8))),
        ("front.png", png(np.zeros((128, 256, 3), np.uint8))[:200]),
        ("front_mask.png", png(np.zeros((128, 256, 3), np.uint8))),
        ("front_mask.png", png(np.zeros((128, 256), np.uint16))),
    ],
)
def test_a_damaged_asset_is_named_and_the_others_go_on(library, file, data):
    library.save(asset("bad", views=("front",)))
    library.save(asset("good"))
    (library.folder / "bad" / file).write_bytes(data)
    assert code(library.load, "bad") == "LIBRARY_ERROR"
    same(library.load("good"), asset("good"))
    library.save(asset("bad"))
    same(library.load("bad"), asset("bad"))


def test_a_missing_file_is_named(library):
    library.save(asset())
    (library.folder / "block" / "top_mask.png").unlink()
    with pytest.raises(VimaError, match=r"top_mask\.png: No such file"):
        library.load("block")


def test_a_pipe_in_place_of_a_file_is_not_waited_for(library):
    library.save(asset())
    (library.folder / "block" / "front.png").unlink()
    os.mkfifo(library.folder / "block" / "front.png")
    with pytest.raises(VimaError, match=r"front\.png is damaged: not a file"):
        library.load("block")


def test_a_file_beside_the_assets_is_left_alone(library):
    library.save(asset())
    stray = library.folder / "notes"
    stray.write_text("mine")
    assert library.names() == ["block"]
    library.save(asset("other"))
    assert library.size() > 0
    assert code(library.save, asset("notes")) == "LIBRARY_ERROR"
    assert code(library.delete, "notes") == "UNKNOWN_PLACEHOLDER"
    assert stray.read_text() == "mine"


def test_what_was_being_deleted_when_the_process_died_does_not_come_back(library, monkeypatch):
    library.save(asset())

    def dies_halfway(folder, **_):
        (folder / "asset.yaml").unlink()
        raise Dies

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", dies_halfway)
        with pytest.raises(Dies):
            library.delete("block")
    reopened = AssetLibrary(library.folder)
    assert reopened.names() == []
    assert list(library.folder.iterdir()) == []


def test_a_path_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    assert code(AssetLibrary, tmp_path / "file") == "LIBRARY_ERROR"
    assert code(AssetLibrary(tmp_path / "file" / "x").save, asset()) == "LIBRARY_ERROR"


@pytest.mark.slow
@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.sampled_from(AssetKind)),
        max_size=8,
    )
)
def test_saved_and_deleted_assets_are_there_as_in_a_dictionary(tmp_path_factory, steps):
    library, plain = AssetLibrary(Path(tmp_path_factory.mktemp("library"))), {}
    for name, seed, kind in steps:
        if seed == 3 and name in plain:
            library.delete(name)
            del plain[name]
        else:
            plain[name] = asset(name, seed, kind, views=("top",), stamp=seed)
            library.save(plain[name])
        assert library.names() == sorted(plain)
    for name, kept in plain.items():
        same(library.load(name), kept)
