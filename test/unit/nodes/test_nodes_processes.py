"""The robot's file, by path or by name."""

import pytest

from vima_ros.errors import VimaError
from vima_ros.nodes.processes import robot_file


def test_a_robot_is_a_file_or_a_name(tmp_path, monkeypatch):
    own = tmp_path / "mine.yaml"
    own.write_text("/**:\n  ros__parameters: {}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for spelling in (str(own), "mine.yaml", "./mine.yaml", "~/mine.yaml"):
        assert robot_file(spelling).samefile(own)
    assert robot_file("tabletop").name == "tabletop.yaml"


@pytest.mark.parametrize("robot", ["table top", "tabletop.yml", "/nowhere/tabletop.yaml", ""])
def test_a_robot_that_is_not_there_is_refused_with_the_names(robot):
    with pytest.raises(VimaError, match="tabletop") as error:
        robot_file(robot)
    assert error.value.code == "NO_FILE"
