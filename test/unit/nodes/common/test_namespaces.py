"""One namespace, however it is spelled: the helper, and every program's --namespace."""

import importlib

import pytest
from helpers import ROOT
from hypothesis import assume, given
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="no ROS 2: run `make test`, which prepares it")

from rclpy.exceptions import InvalidNamespaceException
from rclpy.validate_namespace import validate_namespace

from vima_ros.errors import VimaError
from vima_ros.nodes.common.namespaces import absolute_namespace

SOURCES = ROOT / "src" / "vima_ros"
SPELLINGS = {
    "right": "/right",
    "/right": "/right",
    "right/": "/right",
    "/right/": "/right",
    "cell/right_2": "/cell/right_2",
    "/a/b": "/a/b",
    "/": "/",
    "": "/",
}
BAD = ["//right", "a//b", "two words", "2nd", "/a/2", "a-b", "~", "~/a", "right\n", "é", "a" * 245]


@pytest.mark.parametrize(("text", "namespace"), SPELLINGS.items())
def test_all_spellings_are_one_namespace(text, namespace):
    assert absolute_namespace(text) == namespace


@pytest.mark.parametrize("text", BAD)
def test_what_ros_does_not_accept_is_refused_in_a_sentence(text):
    with pytest.raises(VimaError, match="valid: words of ASCII letters") as refused:
        absolute_namespace(text)
    assert repr(text) in str(refused.value)


@given(st.text(st.sampled_from("/ab_1-~ é\n"), max_size=8))
def test_ros_decides_what_is_valid(text):
    """What is accepted is valid in ROS, what is refused is not; slashes alone are no case."""
    assume(text == "/" or text.strip("/") or not text)
    try:
        assert validate_namespace(absolute_namespace(text))
    except VimaError:
        with pytest.raises(InvalidNamespaceException):
            validate_namespace("/" + text.removeprefix("/").removesuffix("/"))


PROGRAMS = {  # a valid command line of each that has --namespace; {} is where the option may stand
    "assets": "{} list",
    "grab_image": "front/image_raw --out=front.png {}",
    "replay": "bag {}",
    "send_prompt": "prompt {}",
    "sim": "{}",
    "stop": "{}",  # and resume, by the same function
}


def parse(program: str, option: str = ""):
    module = importlib.import_module(f"vima_ros.cli.{program}")
    return module.parse(PROGRAMS[program].format(option).split())


def test_no_program_has_an_option_of_its_own():
    sources = {
        ".".join(path.relative_to(SOURCES / "cli").with_suffix("").parts): path.read_text()
        for path in (SOURCES / "cli").rglob("*.py")
    }
    assert [name for name, text in sources.items() if '"--namespace"' in text] == []
    assert {name for name, text in sources.items() if "add_namespace_option(parser" in text} <= {
        *PROGRAMS
    }


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("text", ["right", "/right", "right/"])
def test_programs_take_every_spelling(program, text):
    assert parse(program, f"--namespace={text}").namespace == "/right"


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_refuse_others_in_a_sentence(program, capsys):
    with pytest.raises(SystemExit) as end:
        parse(program, "--namespace=a-b")
    assert end.value.code == 2
    assert "namespace 'a-b'; valid: words of ASCII letters" in capsys.readouterr().err


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_default_is_vima(program):
    assert parse(program).namespace == "/vima"
