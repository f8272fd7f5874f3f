"""Arguments of the tabletop node, beside those of ROS."""

import pytest

pytest.importorskip("rclpy", reason="no ROS 2: run `make test`, which prepares it")
pytest.importorskip("vima_msgs", reason="vima_msgs is not built: run `make test`")

from vima_ros.nodes.tabletop import node


def test_a_file_with_whole_numbers_among_floats_is_left_to_what_mends_it(tmp_path, monkeypatch):
    path = tmp_path / "robot.yaml"
    path.write_text("/**:\n  ros__parameters:\n    workspace_min: [0, -0.5]\n")
    started = []
    monkeypatch.setattr(node, "run", lambda kind, args: started.append(kind.viewer))
    node.main(["tabletop", "--ros-args", "--params-file", str(path)])
    assert started == [False]
