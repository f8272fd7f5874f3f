"""The suite's nodes as child processes: their parameter file, and their ends."""

import pytest

from vima_ros.client.node_processes import NodeProcesses, find_params_file
from vima_ros.errors import VimaError

PROGRAM = """#!/bin/sh
echo "[ERROR] [1.0] [vima.policy]: cannot configure: BAD_CHECKPOINT: there is no file x.ckpt"
exec sleep 60
"""


@pytest.mark.slow
def test_a_node_that_cannot_be_configured_ends_the_start_with_its_reason(tmp_path, monkeypatch):
    program = tmp_path / "lib" / "vima_ros" / "policy"
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM)
    program.chmod(0o755)
    monkeypatch.setattr("vima_ros.client.node_processes.get_package_prefix", lambda _: tmp_path)
    (tmp_path / "policy.log").write_text("of an earlier run: cannot configure: OLD\n")
    with NodeProcesses(tmp_path, params_file="tabletop") as processes:
        processes.start(["policy"])

        def wait_for_the_line() -> None:
            while True:
                processes.check_starting()

        with pytest.raises(VimaError, match=r"policy .*: BAD_CHECKPOINT: .* x.ckpt") as refused:
            wait_for_the_line()
    assert refused.value.code == "NODE_REFUSED"
    assert "OLD" not in processes.log("policy")


def test_a_params_file_is_a_path_or_a_name(tmp_path, monkeypatch):
    own = tmp_path / "mine.yaml"
    own.write_text("/**:\n  ros__parameters: {}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for spelling in (str(own), "mine.yaml", "./mine.yaml", "~/mine.yaml"):
        assert find_params_file(spelling).samefile(own)
    assert find_params_file("tabletop").name == "tabletop.yaml"


@pytest.mark.parametrize(
    "params_file", ["table top", "tabletop.yml", "/nowhere/tabletop.yaml", ""]
)
def test_a_params_file_that_is_not_there_is_refused_with_the_names(params_file):
    with pytest.raises(VimaError, match="tabletop") as error:
        find_params_file(params_file)
    assert error.value.code == "NO_FILE"
