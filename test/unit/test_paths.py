"""``~`` in every path: of options, of parameters, of launch arguments."""

import argparse
import ast
import importlib
import re
from dataclasses import fields
from pathlib import Path

import pytest
from helpers import ROOT, write_bag
from rosbags.rosbag2 import StoragePlugin

from vima_ros.errors import VimaError
from vima_ros.paths import config_folder, config_path, expand, expand_text, path_argument

SOURCES = ROOT / "src" / "vima_ros"
PROGRAMS = sorted(
    str(path.relative_to(SOURCES).with_suffix("")).replace("/", ".")
    for path in SOURCES.rglob("*.py")
    if "= ArgumentParser(" in path.read_text() or "= argparse.ArgumentParser(" in path.read_text()
)
# What a text is taken for a path by, in the help of an option or the description of a parameter.
PATH_WORDS = re.compile(
    r"\b(files?|folders?|dir|directory|paths?|checkpoint|weights|png|npz|json|yaml|"
    r"safetensors|python)\b",
    re.IGNORECASE,
)
NO_PATHS = {  # (program, option) that speak of files and are none themselves
    ("replay", "image"): "NAME=FILE,FILE: as of send_prompt",
    ("replay", "scene"): "NAME=FILE,FILE: as of send_prompt",
    ("send_prompt", "image"): "NAME=FILE,FILE: test_a_tilde_in_the_path_of_a_picture_is_home",
    ("send_prompt", "scene"): "NAME=FILE,FILE: test_a_tilde_in_the_path_of_a_picture_is_home",
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_leading_tilde_becomes_the_home_folder_and_no_other_text_changes(home):
    assert expand("~/a/b.yaml") == home / "a" / "b.yaml"
    assert expand("~") == home
    assert expand(Path("~root/x")).is_absolute()
    assert expand_text("~root/x") == str(expand("~root/x"))
    for same in ("", "random", "a/~/b", "./~x", "/a~", "t5-base", "front/image_raw"):
        assert expand_text(same) == same


@pytest.mark.parametrize("path", ["~nobody_here/x.yaml", "~nobody_here"])
def test_a_user_who_is_not_there_is_named(path):
    with pytest.raises(
        VimaError, match=r"no home folder is known for ~nobody_here; valid: "
    ) as error:
        expand(path)
    assert error.value.code == "BAD_PATH"


# --- options of programs


class CaughtError(Exception):
    """Carries the parser whose ``parse_args`` was called."""


def parsers(program, monkeypatch):
    """The parser of a program, and those of its subcommands."""

    def catch(self, *args, **options):
        raise CaughtError(self)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", catch)
    module = importlib.import_module(f"vima_ros.{program}")
    with pytest.raises(CaughtError) as caught:
        module.main(*([[]] if program.startswith("cli.") else []))
    found = list(caught.value.args)
    for parser in found:  # grows meanwhile
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                found.extend(action.choices.values())
    return found


def options(program, monkeypatch):
    for parser in parsers(program, monkeypatch):
        for action in parser._actions:
            takes_text = action.nargs != 0 and not action.choices
            if takes_text and not isinstance(action, argparse._SubParsersAction):
                yield parser, action


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_option_that_is_a_path_expands(program, monkeypatch, home):
    short = program.removesuffix(".main").rpartition(".")[2]
    for parser, action in options(program, monkeypatch):
        about = f"{action.dest.replace('_', ' ')} {action.help} {action.metavar}"
        numeric = isinstance(action.default, int | float) or action.type in (int, float)
        is_path = isinstance(action.default, Path) or PATH_WORDS.search(about)
        if action.type is not Path and (numeric or not is_path):
            continue
        if (short, action.dest) in NO_PATHS:
            continue
        value = parser._get_value(action, "~/x.yaml")
        assert str(value) == str(home / "x.yaml"), f"{short}: {action.dest} does not expand ~"
        with pytest.raises(argparse.ArgumentError, match="no home folder is known for ~nobody"):
            parser._get_value(action, "~nobody_here/x")


def test_the_test_finds_the_paths_that_it_should(monkeypatch):
    found = {
        action.dest
        for program in ("cli.sim", "cli.evaluate_policy", "cli.calibrate.main", "cli.bench.main")
        for _, action in options(program, monkeypatch)
        if getattr(action.type, "__module__", "") == "vima_ros.paths"
    }
    assert found == {
        *(
            "out",
            "checkpoint",
            "policy",
            "vima_bench",
            "image",
            "images",
            "calibration",
            "camera_info",
        ),
        *("weights", "baseline_python", "params_file"),
    }


def test_a_tilde_in_the_path_of_a_picture_is_home(home):
    cv2, np = pytest.importorskip("cv2"), pytest.importorskip("numpy")
    prompt_conversions = pytest.importorskip("vima_ros.nodes.common.prompt_conversions")
    cv2.imwrite(str(home / "a.png"), np.zeros((128, 256, 3), np.uint8))
    asset = prompt_conversions.asset_from_files("a=~/a.png,~/a.png", 0)
    assert asset.front.width == asset.top.width == 256


# --- parameters of nodes


def parameter_classes():
    pytest.importorskip("rclpy")
    for path in sorted((SOURCES / "nodes").glob("*/node.py")):
        if "    parameters_type = " in path.read_text():
            module = importlib.import_module(f"vima_ros.nodes.{path.parent.name}.node")
            yield from (
                (path.parent.name, value.parameters_type)
                for value in vars(module).values()
                if isinstance(value, type)
                and value.__module__ == module.__name__
                and hasattr(value, "parameters_type")
            )


def test_every_parameter_that_is_a_path_expands():
    for node, kind in parameter_classes():
        for field in fields(kind):
            if field.type != "str" or field.metadata["choices"]:
                assert not field.metadata["path"]
                continue
            about = f"{field.name} {field.metadata['description']}"
            is_path = bool(PATH_WORDS.search(about.replace("/", " ")))
            assert field.metadata["path"] == is_path, f"{node}.{field.name}: path={is_path}?"
            assert field.metadata["read_only"] or not field.metadata["path"]


def test_a_node_gets_the_expanded_path(home):
    rclpy = pytest.importorskip("rclpy")
    from rclpy.node import Node
    from rclpy.parameter import Parameter

    from vima_ros.nodes.common import parameters
    from vima_ros.nodes.policy.parameters import PolicyParameters

    rclpy.init()
    try:
        for given, want in (("~/a.ckpt", str(home / "a.ckpt")), ("random", "random"), ("", "")):
            node = Node("policy", parameter_overrides=[Parameter("checkpoint", value=given)])
            assert parameters.declare(node, "policy", PolicyParameters).checkpoint == want
            node.destroy_node()
        node = Node(
            "policy", parameter_overrides=[Parameter("checkpoint", value="~nobody_here/a")]
        )
        with pytest.raises(VimaError, match=r"parameter checkpoint: .*no home folder"):
            parameters.declare(node, "policy", PolicyParameters)
        node.destroy_node()
    finally:
        rclpy.shutdown()


def test_a_parameter_file_in_the_home_folder(home):
    pytest.importorskip("rclpy")
    from vima_ros.nodes.common import parameter_files

    (home / "robot.yaml").write_text("/**/arm:\n  ros__parameters:\n    max_speed: 0.1\n")
    (given,) = parameter_files.read_overrides(
        ["arm", "--ros-args", "--params-file", "~/robot.yaml"]
    )
    assert (given.name, given.source) == ("max_speed", str(home / "robot.yaml"))


# --- launch arguments


def test_a_tilde_in_launch_arguments_is_home(home):
    launching = pytest.importorskip("vima_ros.nodes.common.launch_arguments")
    (home / "robot.yaml").write_text("/**/arm:\n  ros__parameters:\n    max_speed: 0.1\n")
    (home / "20M.ckpt").touch()
    write_bag(home / "bag", StoragePlugin.MCAP, 1)
    given = {
        "params_file": "~/robot.yaml",
        "checkpoint": "~/20M.ckpt",
        "bag": "~/bag",
        "out": "~/out",
    }
    assert set(given) == set(launching.PATHS)
    want = {name: text.replace("~", str(home)) for name, text in given.items()}
    assert launching.check_values({**given, "device": "cpu"}) == {**want, "device": "cpu"}
    for name in given:
        with pytest.raises(VimaError, match=f"launch argument {name}: .*no home folder"):
            launching.check_values({name: "~nobody_here/x"})


def test_every_launch_argument_that_is_a_path_is_known():
    launching = pytest.importorskip("vima_ros.nodes.common.launch_arguments")
    for path in sorted((ROOT / "launch").glob("*.launch.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or "DeclareLaunchArgument" not in ast.dump(
                call.func
            ):
                continue
            texts = [n.value for n in ast.walk(call) if isinstance(n, ast.Constant)]
            is_path = bool(PATH_WORDS.search(" ".join(map(str, texts))))
            assert (texts[0] in launching.PATHS) == is_path, f"{path.name}: {texts[0]}"


@pytest.mark.parametrize("text", ["", "  "])
def test_a_path_that_is_empty_is_refused(text, capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=path_argument)
    with pytest.raises(SystemExit):
        parser.parse_args(["--out", text])
    assert "argument --out: path is empty; valid: " in capsys.readouterr().err


@pytest.mark.parametrize("above", ["share/vima_ros/config", "config"])
def test_configuration_is_found_above_the_installed_or_checked_out_package(tmp_path, above):
    folder = tmp_path / above
    folder.mkdir(parents=True)
    (tmp_path / "package.xml").touch()
    assert config_folder(tmp_path / "lib" / "vima_ros" / "paths.py") == folder


def test_a_folder_named_config_alone_is_not_ours(tmp_path):
    (tmp_path / "config").mkdir()
    with pytest.raises(VimaError, match=f"{tmp_path}/vima_ros.*share/vima_ros/config") as error:
        config_folder(tmp_path / "vima_ros" / "paths.py")
    assert error.value.code == "NOT_INSTALLED"


def test_nodes_and_programs_read_the_same_configuration():
    assert config_path("arm.yaml").read_text() == (ROOT / "config" / "arm.yaml").read_text()
