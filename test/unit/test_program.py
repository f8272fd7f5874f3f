"""The wrapper of all programs and nodes: exit codes, errors, signals, help."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vima_ros import program
from vima_ros.cli.arguments import ArgumentParser
from vima_ros.errors import VimaError
from vima_ros.program import exit_code, without_ros_args

CLI = Path(program.__file__).parent / "cli"
# As C++ code does that imports: it catches what is raised, and prints or aborts.
SLOW = """
import os, time
try:
    os.kill(os.getpid(), NUMBER)
    time.sleep(30)
except BaseException as error:
    print("raised", type(error).__name__)
"""
PROGRAM = """
import sys
sys.path.insert(0, FOLDER)
from vima_ros.program import run_program
def main(args):
    import slow
run_program(lambda: main)
"""
ENDLESS = """
from vima_ros.program import run_program
def main(args):
    while True:
        print("a line", flush=True)
run_program(lambda: main)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_a_signal_during_an_import_ends_the_program_at_once(tmp_path, number):
    (tmp_path / "slow.py").write_text(SLOW.replace("NUMBER", str(int(number))))
    source = PROGRAM.replace("FOLDER", repr(str(tmp_path)))
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", "")


def raising(error):
    def main(args):
        raise error

    return main


@pytest.mark.parametrize(
    ("main", "code", "said"),
    [
        (lambda args: None, 0, ""),
        (lambda args: 1, 1, ""),
        (lambda args: len(args), 2, ""),
        (raising(VimaError("BAD_BOX", "too flat")), 2, "assets: BAD_BOX: too flat\n"),
        (
            raising(FileNotFoundError(2, "No such file or directory", "a.txt")),
            2,
            "assets: BAD_FILE: a.txt: No such file or directory\n",
        ),
        (raising(KeyboardInterrupt), 130, ""),
        (raising(SystemExit(143)), 143, ""),
        (raising(SystemExit), 0, ""),
    ],
)
def test_the_exit_code_and_the_sentence_of_a_program(main, code, said, capsys):
    assert exit_code("assets", main, ["list", "--force"]) == code
    assert capsys.readouterr() == ("", said)


def test_an_error_without_a_file_is_a_fault_of_the_program():
    with pytest.raises(OSError, match="connection"):
        exit_code("assets", raising(OSError("connection lost")), [])
    with pytest.raises(BrokenPipeError):
        exit_code("assets", raising(BrokenPipeError("of a worker, not stdout")), [])


def test_a_program_whose_output_nobody_reads_ends_as_by_sigpipe():
    writer = subprocess.Popen(
        [sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout.readline() == "a line\n"
        writer.stdout.close()
        assert writer.wait(60) == 128 + signal.SIGPIPE
        assert writer.stderr.read() == ""
    finally:
        writer.kill()
        writer.wait()
        writer.stderr.close()


def test_options_and_commands_are_not_abbreviated(capsys):
    parser = ArgumentParser(prog="assets")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("list").add_argument("--namespace")
    with pytest.raises(SystemExit):
        parser.parse_args(["list", "--name=x"])
    assert "unrecognized arguments: --name=x" in capsys.readouterr().err


@pytest.mark.parametrize(
    "path", [p for p in CLI.rglob("*.py") if p.name != "arguments.py"], ids=lambda p: p.stem
)
def test_no_program_handles_exit_codes_or_abbreviations_of_its_own(path):
    source = path.read_text()
    assert "argparse.ArgumentParser(" not in source
    assert "sys.exit(" not in source


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, "usage: perception [--ros-args"),
        (["-h"], 0, "config/perception.yaml has its parameters"),
        (["--ros-args", "-r", "a:=b", "--", "--help"], 0, "usage: perception"),
        (["--rate", "5"], 2, "perception: BAD_ARGUMENT: arguments --rate 5; valid: those after"),
    ],
)
def test_a_node_given_arguments_of_its_own_does_not_start(arguments, code, said):
    source = f"import sys; sys.argv = ['perception', *{arguments}]; import vima_ros.program as p\n"
    source += "p.run_node()"
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code
    assert said in (done.stderr if code else done.stdout)


def test_ros_arguments_are_set_aside_unread():
    args = [
        "a",
        "--ros-args",
        "--params-file",
        "/nowhere",
        "--",
        "--b",
        "--ros-args",
        "-r",
        "c:=d",
    ]
    assert without_ros_args(args) == ["a", "--b"]
