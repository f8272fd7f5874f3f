"""What ROS reads from the environment is checked before it is started; the user's choice wins."""

import os
from pathlib import Path

import pytest

pytest.importorskip("vima_msgs")

from vima_ros import shared_memory
from vima_ros.errors import VimaError
from vima_ros.nodes.common import dds
from vima_ros.nodes.common.dds import (
    NEED,
    PROCESSES,
    PROFILE_FILES,
    PROFILE_VARIABLE,
    PROFILE_VARIABLES,
    SMALL_NEED,
    prepare_ros,
    use_fastdds_profile,
)
from vima_ros.paths import config_path
from vima_ros.shared_memory import MIB

LARGE, SMALL = config_path("fastdds.xml"), config_path("fastdds_small.xml")


@pytest.fixture(autouse=True)
def plain(monkeypatch, tmp_path):
    """No choice of the user, much shared memory, an empty folder to run in."""
    for name in (*PROFILE_VARIABLES, "SKIP_DEFAULT_XML_FILE", "RMW_IMPLEMENTATION"):
        monkeypatch.setenv(name, "")  # restored afterwards, whatever is set meanwhile
        monkeypatch.delenv(name)
    monkeypatch.setattr(shared_memory, "room", lambda: (1000 * MIB, 1000 * MIB))
    monkeypatch.chdir(tmp_path)
    dds.fitting_profile.cache_clear()
    yield
    dds.fitting_profile.cache_clear()


def chosen() -> Path | None:
    """The profile by the variable that the installed Fast DDS reads."""
    use_fastdds_profile()
    text = os.environ.get(PROFILE_VARIABLE)
    return Path(text) if text else None


def test_the_suites_own_profile_where_the_user_has_none():
    assert chosen() == LARGE


def test_a_parent_process_of_another_installation_has_chosen_nothing(monkeypatch, tmp_path):
    profile = tmp_path / LARGE.name
    profile.write_bytes(LARGE.read_bytes())
    monkeypatch.setenv(PROFILE_VARIABLE, str(profile))
    assert chosen() == LARGE
    assert chosen() == LARGE  # as in a child process, which inherits the variable


@pytest.mark.parametrize("name", PROFILE_VARIABLES)
def test_the_users_variable_wins_whatever_it_is_called(name, monkeypatch, tmp_path):
    own = tmp_path / "own.xml"
    own.write_text("<dds/>")
    monkeypatch.setenv(name, str(own))
    assert chosen() == own


@pytest.mark.parametrize("name", PROFILE_FILES)
def test_a_profile_in_the_working_folder_wins(name, monkeypatch, tmp_path):
    (tmp_path / name).write_text("<dds/>")
    read_by_itself = name == PROFILE_FILES[0]
    assert chosen() == (None if read_by_itself else tmp_path / name)
    monkeypatch.setenv("SKIP_DEFAULT_XML_FILE", "1")
    monkeypatch.delenv(PROFILE_VARIABLE, raising=False)
    assert chosen() == LARGE


def test_a_variable_that_names_no_file_is_refused(monkeypatch):
    monkeypatch.setenv(PROFILE_VARIABLE, "/no/such.xml")
    with pytest.raises(
        VimaError, match=f"{PROFILE_VARIABLE} is '/no/such.xml': no file"
    ) as caught:
        chosen()
    assert caught.value.code == "BAD_ENVIRONMENT"


@pytest.mark.parametrize("where", [*PROFILE_VARIABLES, *PROFILE_FILES])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "line 1, column 0"),
        ("<dds", "line 1, column 0"),
        ("<dds>\n</profiles>", "line 2, column 2"),
        ("<dds>\0</dds>", "line 1, column 5"),
        ('<?xml version="1.0" encoding="no-such"?><dds/>', "encoding: no-such"),
        ("plain words", "line 1, column 0"),
    ],
)
def test_a_profile_that_is_no_xml_is_refused(where, content, reason, monkeypatch, tmp_path):
    path = tmp_path / ("own.xml" if where in PROFILE_VARIABLES else where)
    path.write_text(content)
    if where in PROFILE_VARIABLES:
        monkeypatch.setenv(where, str(path))
    with pytest.raises(VimaError) as caught:
        prepare_ros()
    assert caught.value.code == "BAD_ENVIRONMENT"
    origin = f"by {where}" if where in PROFILE_VARIABLES else "in the working folder"
    assert f"{path} ({origin})" in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "content", ['\n<?xml version="1.0"?><dds/>', "\ufeff<dds/>", "<a:dds>é</a:dds>"]
)
def test_a_profile_that_fast_dds_parses_is_taken(content, monkeypatch, tmp_path):
    own = tmp_path / "own.xml"
    own.write_text(content)
    monkeypatch.setenv(PROFILE_VARIABLE, str(own))
    assert chosen() == own


def test_a_dev_shm_that_is_not_writable_is_named_so(monkeypatch):
    monkeypatch.setattr(shared_memory, "is_writable", lambda: False)
    with pytest.raises(
        VimaError, match=r"/dev/shm is not writable; valid: .*remount,rw"
    ) as caught:
        chosen()
    assert caught.value.code == "SHARED_MEMORY"


@pytest.mark.parametrize(
    ("size", "free"),
    [(64 * MIB, 64 * MIB), (PROCESSES * SMALL_NEED, SMALL_NEED), (1000 * MIB, NEED - 1)],
)
def test_a_small_dev_shm_gets_small_segments_and_one_sentence(size, free, monkeypatch, capsys):
    monkeypatch.setattr(shared_memory, "room", lambda: (size, free))
    assert chosen() == SMALL
    assert chosen() == SMALL
    (sentence,) = capsys.readouterr().err.splitlines()
    assert f"/dev/shm has {size / MIB:.0f} MiB, {free / MIB:.0f} of them free" in sentence
    assert "docker run --shm-size=1g" in sentence


@pytest.mark.parametrize(
    ("size", "free"), [(24 * MIB, 24 * MIB), (64 * MIB, 2 * MIB), (0, 0), (1000 * MIB, 0)]
)
def test_a_dev_shm_without_room_is_refused_with_the_remedy(size, free, monkeypatch, tmp_path):
    monkeypatch.setattr(shared_memory, "room", lambda: (size, free))
    with pytest.raises(VimaError, match="--shm-size=1g, or --ipc=host") as caught:
        chosen()
    assert caught.value.code == "SHARED_MEMORY"
    own = tmp_path / "own.xml"  # such as one without shared memory
    own.write_text("<dds/>")
    monkeypatch.setenv(PROFILE_VARIABLE, str(own))
    assert chosen() == own


def test_another_middleware_needs_no_room_for_fast_dds(monkeypatch):
    monkeypatch.setattr(shared_memory, "room", lambda: (0, 0))
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp")
    assert chosen() == LARGE


@pytest.mark.parametrize("text", ["", "0", "232", "0x10", "017", " 5", "+7"])
def test_domains_as_ros_reads_them(text, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", text)
    prepare_ros()


@pytest.mark.parametrize("text", ["233", "-1", "abc", "1.5", "5 ", "08", "1" * 30, "٣"])
def test_other_domains_are_refused(text, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", text)
    with pytest.raises(VimaError, match=r"ROS_DOMAIN_ID is .*valid: a whole number from 0 to 232"):
        prepare_ros()


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "HOME is not set"),
        ({"ROS_LOG_DIR": "~/logs"}, "HOME is not set"),
        ({"HOME": "/proc/none"}, "/proc/none/.ros/log (by HOME)"),
        ({"HOME": "/proc/none", "ROS_HOME": "/proc/ros"}, "/proc/ros/log (by ROS_HOME)"),
        ({"HOME": "/tmp", "ROS_LOG_DIR": "/proc/none"}, "/proc/none (by ROS_LOG_DIR)"),
        ({"HOME": "/tmp", "ROS_LOG_DIR": "/proc/version"}, "/proc/version (by ROS_LOG_DIR)"),
    ],
)
def test_without_a_folder_for_logs_it_is_refused(variables, words, monkeypatch):
    for name in ("HOME", "ROS_HOME", "ROS_LOG_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(VimaError) as caught:
        prepare_ros()
    assert caught.value.code == "BAD_ENVIRONMENT"
    assert words in str(caught.value)
    assert "valid: " in str(caught.value)


def test_a_log_folder_is_made(monkeypatch, tmp_path):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "a" / "b"))
    prepare_ros()
    assert (tmp_path / "a" / "b").is_dir()
