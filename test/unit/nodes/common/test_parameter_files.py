"""Parameter files as people write them: read, or refused in a sentence that says what is valid."""

import sys
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="parameters are declared with ROS 2")
pytest.importorskip("vima_msgs.msg", reason="vima_msgs is not built")

import rclpy
from helpers import ROOT

from vima_ros.errors import VimaError
from vima_ros.nodes.arm.parameters import ArmParameters
from vima_ros.nodes.common import parameter_checks, parameter_files
from vima_ros.nodes.common.parameter_defaults import default_values
from vima_ros.nodes.common.parameters import declare
from vima_ros.nodes.policy.parameters import PolicyParameters
from vima_ros.nodes.prompt.parameters import PromptParameters

ROBOTS = sorted((ROOT / "config" / "robots").glob("*.yaml"))


def node(name="arm", namespace="/vima", own_name=None):
    kind = {"arm": ArmParameters, "policy": PolicyParameters, "prompt": PromptParameters}[name]
    return SimpleNamespace(
        name=name,
        parameter_overrides=None,
        parameters=kind(**{f.name: default_values(name)[f.name] for f in fields(kind)}),
        get_name=lambda: own_name or name,
        get_fully_qualified_name=lambda: f"{namespace}/{own_name or name}",
        has_parameter=lambda parameter: parameter == "use_sim_time",
    )


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Check a node against files of this text; the refusal, empty if there is none."""

    def run(*texts, words=(), **of_node):
        arguments = ["arm", "--ros-args", *words]
        for index, text in enumerate(texts):
            path = tmp_path / f"robot{index}.yaml"
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            arguments += ["--params-file", str(path)]
        monkeypatch.setattr(sys, "argv", arguments)
        try:
            parameter_checks.check_overrides(node(**of_node))
        except VimaError as error:
            return str(error)
        return ""

    return run


def section(key="/**/arm", **values):
    lines = "".join(f"    {name}: {value}\n" for name, value in values.items())
    return f"{key}:\n  ros__parameters:\n{lines}"


# --- names


def test_a_mistyped_name_is_refused_with_its_line_and_the_nearest(check):
    why = check(section(max_speed=0.2, max_sped=0.1))
    assert "max_sped" in why
    assert "robot0.yaml, line 4, section /**/arm" in why
    assert "nearest: max_speed" in why
    assert check(section(max_sped=0.1), name="policy") == ""  # the arm's affair


def test_under_a_wildcard_a_name_has_to_be_declared_by_any_node_of_the_suite(check):
    shared = section("/**", max_steps=3, max_speed=0.2, use_sim_time="true")
    assert check(shared) == check(shared, name="policy") == ""
    for name in ("arm", "policy"):
        why = check(section("/**", max_sped=0.1), name=name)
        assert "any node of the suite; nearest: max_speed" in why
    assert "but of policy" in check(section(max_steps=3))


@pytest.mark.slow
def test_what_nodes_share_stands_in_a_section_of_all_nodes_and_typos_are_found_there(check):
    cell = section("/**", workspace_min="[0.3, -0.4]", table_rpy="[0.0, 0.0, 0.1]")
    wrong = section("/**", workspace_mim="[0.3, -0.4]")
    for name in ("arm", "policy", "prompt"):  # prompt has none of them
        assert check(cell, name=name) == ""
        assert "workspace_mim" in check(wrong, name=name)
        assert "any node of the suite; nearest: workspace_min" in check(wrong, name=name)
    why = check(section("/**/prompt", workspace_min="[0.3, -0.4]"), name="prompt")
    assert "is not a parameter of prompt but of nodes that share it, in a section /**:" in why
    assert check(words=["-p", "workspace_min:=[0.3, -0.4]"], name="prompt") == ""


def test_names_on_the_command_line_count_as_well(check):
    assert check(words=["-p", "max_steps:=3", "--param", "max_speed:=0.2"]) == ""
    assert "-p max_sped:=0.2" in check(words=["-p", "max_sped:=0.2"])
    why = check(words=["-p", "arm:max_speed:=0.2"])  # rcl takes /arm for its name
    assert "not read by /vima/arm; valid: -p NAME:=VALUE" in why


@pytest.mark.parametrize("name", ["use_sim_time", "start_type_description_service"])
def test_what_every_node_of_ros_has_is_fine(check, name):
    quality = "    qos_overrides:\n      /vima/action:\n        publisher: {depth: 3}\n"
    assert check(section(**{name: "true"}) + quality) == ""


def test_a_name_that_stands_twice_is_refused(check):
    why = check(section(max_speed=0.1) + "    max_speed: 0.5\n")
    assert "max_speed stands twice" in why
    assert check(section(max_speed=0.1), section(max_speed=0.5)) == ""  # files may override files


# --- sections


@pytest.mark.slow
@pytest.mark.parametrize(
    "key",
    ["/arm", "arm", "/vima/amr", "/**/amr", "/**/Arm", "/right/arm", "vima/arms", '"/**arm"'],
)
def test_a_section_that_means_the_node_and_misses_it_is_refused(check, key):
    why = check(section(key, max_speed=0.1))
    assert key.strip('"/') in why
    assert "line 3" in why
    assert "not read by /vima/arm; valid: /**/arm:" in why
    assert check(section(key, max_speed=0.1), name="policy") == ""


@pytest.mark.slow
@pytest.mark.parametrize("key", ["/**/arm", "/*/arm", "/vima/arm", "vima/arm", "/vima/**", "/**"])
def test_a_section_that_reaches_the_node_is_read(check, key):
    assert check(section(key, max_speed=0.1)) == ""
    assert "max_sped" in check(section(key, max_sped=0.1))


def test_nested_keys_are_a_section(check):
    text = "vima:\n  arm:\n    ros__parameters:\n      {}: 0.1\n"
    assert check(text.format("max_speed")) == ""
    assert "section /vima/arm" in check(text.format("max_sped"))


@pytest.mark.parametrize("key", ["/*", "/right/**", "right/*"])
def test_a_wildcard_that_reaches_no_node_is_refused(check, key):
    why = check(section(key, max_speed=0.1))
    assert f"section /{key.strip('/')}" in why
    assert "not read by /vima/arm; valid: /**:" in why
    assert check(section(key, max_speed=0.1), name="policy") == ""


def test_sections_of_other_nodes_are_left_alone(check):
    others = "".join(
        section(f"/**/{name}", rate=3) for name in ("camera", "arms", "arm_driver", "armour")
    )
    assert check(section(max_speed=0.1) + others) == ""
    camera = section("/camera/**", max_speed=3)  # of another package
    assert check(section("/**/policy", max_steps=3) + camera) == ""


def test_a_file_for_two_robots_has_sections_that_only_one_reads(check):
    both = section("/left/arm", max_speed=0.1) + section("/right/arm", max_speed=0.2)
    assert check(both, namespace="/left") == check(both, namespace="/right") == ""
    assert "not read by /vima/arm" in check(both)
    both = section("/left/**", max_speed=0.1) + section("/right/**", max_speed=0.2)
    assert check(both, namespace="/left") == check(both, namespace="/right") == ""


def test_a_renamed_node_is_meant_by_its_own_name(check):
    renamed = {"words": ["-r", "__node:=left_arm"], "own_name": "left_arm"}
    assert check(section("/**/left_arm", max_speed=0.1), **renamed) == ""
    why = check(section("/**/arm", max_speed=0.1), **renamed)
    assert "not read by /vima/left_arm; valid: /**/left_arm:" in why


# --- files


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no parameter for any node of the suite"),
        ("# max_speed: 0.1\n", "holds no parameter for any node of the suite"),
        (section("/**/camera", rate=3), "holds no parameter for any node of the suite"),
        ("hello\n", "line 1: a value in no section"),
        ("max_speed: 0.1\n", "line 1: a value in /max_speed"),
        ("/**/arm:\n  max_speed: 0.1\n", "line 2: a value in /**/arm/max_speed"),
        ("/**/arm:\n  ros_parameters:\n    max_speed: 0.1\n", "valid: /**/NODE: with ros__param"),
        ("/**/arm:\n\tros__parameters:\n", "line 2: found character '\\t'"),
        ("/**/arm: {\n", "line 2"),
        ("*/arm:\n  ros__parameters: {max_speed: 0.1}\n", "line 1"),
        (section(max_speed=""), "line 3: max_speed has no value"),
        (section(home_joint_positions="[]"), "line 3: home_joint_positions has no value"),
        ("/**/arm:\n  ros__parameters: 3\n", "line 2: ros__parameters of /**/arm holds no NAME"),
        (b"/**/arm: # \xe9\n", "is not UTF-8 text"),
        ("[" * 3000, "recursion depth"),
    ],
)
def test_a_file_that_nothing_can_be_read_from_ends_the_start(check, tmp_path, content, said):
    assert said in check(content)
    with pytest.raises(VimaError) as caught:
        parameter_files.init(sys.argv)
    assert caught.value.code == "BAD_PARAMETER_FILE"
    assert str(tmp_path / "robot0.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not rclpy.ok()


def test_an_absent_file_ends_the_start(tmp_path):
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(VimaError, match=f"{path} cannot be read: "):
            parameter_files.init(["arm", "--ros-args", "--params-file", str(path)])


def test_ros_arguments_that_rcl_refuses_are_a_sentence():
    with pytest.raises(VimaError, match="max_speed") as caught:
        parameter_files.init(["arm", "--ros-args", "-p", "max_speed"])
    assert caught.value.code == "BAD_ARGUMENT"
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("path", ROBOTS, ids=lambda path: path.stem)
def test_the_robots_that_come_along_are_read(check, path):
    assert check(path.read_text()) == check(path.read_text(), name="policy") == ""


WAYS = {
    "plain": lambda text: text.encode(),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "BOM": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
}


@pytest.mark.parametrize("way", WAYS)
def test_numbers_are_read_however_they_are_written(tmp_path, way):
    """By a real node: whole numbers where floats are meant, also among floats."""
    path = tmp_path / "robot.yaml"
    text = section(
        max_speed=1, workspace_min="[0, -0.5]", home_joint_positions="[0, 1, -1.5, 1e-3, +2, 3]"
    )
    path.write_bytes(WAYS[way](text + "    workspace_max:\n      - 1\n      - 1\n"))
    words = ["arm", "--ros-args", "-p", "travel_speed:=1", "-r", "__ns:=/vima"]
    try:
        given = parameter_files.init([*words, "--params-file", str(path)])
        made = rclpy.create_node("arm", enable_rosout=False, start_parameter_services=False)
        made.name, made.parameter_overrides = "arm", given
        made.parameters = declare(made, "arm", ArmParameters)
        p = made.parameters
        assert (p.max_speed, p.travel_speed) == (1.0, 1.0)
        assert type(p.max_speed) is float
        assert [list(p.workspace_min), list(p.workspace_max)] == [[0.0, -0.5], [1.0, 1.0]]
        assert list(p.home_joint_positions) == [0.0, 1.0, -1.5, 0.001, 2.0, 3.0]
        parameter_checks.check_overrides(made)
        assert parameter_checks.override_sources(made) == [str(path), "-p"]
    finally:
        rclpy.try_shutdown()


@pytest.mark.parametrize(
    ("later", "words", "speed"),
    [
        ("", [], 0.2),
        ("", ["-p", "max_speed:=0.3"], 0.3),
        (section("/**", max_speed=0.4), [], 0.4),
        (section("/**", max_speed=0.4), ["-p", "max_speed:=0.3"], 0.3),
    ],
)
def test_a_section_of_all_nodes_gives_way_to_a_nodes_own_and_to_what_is_given_later(
    tmp_path, later, words, speed
):
    cell = section("/**", max_speed=0.1, travel_speed=0.1)
    arguments = ["arm", "--ros-args", "-r", "__ns:=/vima"]
    for name, text in (("robot", cell + section(max_speed=0.2)), ("later", later)):
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        arguments += ["--params-file", str(path)] if text else []
    try:
        parameter_files.init([*arguments, *words])
        made = rclpy.create_node("arm", enable_rosout=False, start_parameter_services=False)
        p = declare(made, "arm", ArmParameters)
        assert (p.max_speed, p.travel_speed) == (speed, 0.1)
    finally:
        rclpy.try_shutdown()


@pytest.mark.parametrize("namespace", ["/", "/vima"])
@pytest.mark.parametrize(
    "text",
    [
        "/**:\n  arm:\n    ros__parameters:\n      max_speed: 0.1\n",
        '{"/**":{"ros__parameters":{"max_speed":0.1}}}',
    ],
    ids=["nested", "JSON"],
)
def test_a_section_of_all_nodes_is_read_nested_and_as_json(tmp_path, text, namespace):
    path = tmp_path / "robot.yaml"
    path.write_text(text)
    words = ["arm", "--ros-args", "-r", f"__ns:={namespace}", "--params-file", str(path)]
    try:
        parameter_files.init(words)
        made = rclpy.create_node("arm", enable_rosout=False, start_parameter_services=False)
        assert declare(made, "arm", ArmParameters).max_speed == 0.1
    finally:
        rclpy.try_shutdown()


def test_a_copy_that_was_mended_does_not_stay(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    path = tmp_path / "robot.yaml"
    path.write_text(section(workspace_min="[0, -0.5]"))
    try:
        parameter_files.init(["arm", "--ros-args", "--params-file", str(path)])
    finally:
        rclpy.try_shutdown()
    assert list(Path(tmp_path / "tmp").iterdir()) == []
