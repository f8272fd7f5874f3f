"""What the library repeats of the messages' constants, for it imports no messages."""

import ast
from pathlib import Path

import error_codes
import pytest
from lifecycle_msgs.msg import State

import vima_ros
from vima_msgs.msg import (
    ArmState,
    EpisodeStatus,
    PolicyAction,
    PolicyInputs,
    PromptAsset,
    PromptStatus,
    TaskStatus,
    ViewObjects,
)
from vima_ros import liveness
from vima_ros.episode import values
from vima_ros.episode.values import ArmReport, EpisodeState, TaskStatusOutcome
from vima_ros.errors import GateCode, HistoryFullError, PromptTooLongError
from vima_ros.policy import inputs
from vima_ros.sim.tasks.base import TaskOutcome
from vima_ros.specs import VIEWS, AssetKind, EndEffector, Primitive

SOURCES = Path(vima_ros.__file__).parent
EFFECTORS = {"SUCTION", "SPATULA"}


def constants(message, kind):
    """The constants of a message that are of one type, by name."""
    own = {name: getattr(message, name) for name in dir(message) if name.isupper()}
    return {name: value for name, value in own.items() if type(value) is kind}


def numbers(message, prefix="", without=frozenset()):
    found = constants(message, int)
    return {n.removeprefix(prefix): v for n, v in found.items() if n not in without}


MIRRORS = [
    (EpisodeState, numbers(EpisodeStatus)),
    (ArmReport, numbers(ArmState, without=EFFECTORS)),
    (EndEffector, {name: numbers(ArmState)[name] for name in EFFECTORS}),
    (TaskStatusOutcome, numbers(TaskStatus)),
    (Primitive, numbers(PolicyAction)),
    (AssetKind, numbers(PromptAsset, "KIND_")),
]


@pytest.mark.parametrize(
    ("enum", "expected"), MIRRORS, ids=lambda value: getattr(value, "__name__", "")
)
def test_an_enum_has_the_numbers_of_its_message(enum, expected):
    assert {member.name: member.value for member in enum} == expected


@pytest.mark.slow
def test_every_enum_of_numbers_is_compared():
    trees = [ast.parse(path.read_text()) for path in SOURCES.rglob("*.py")]
    found = {
        node.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and "IntEnum" in map(ast.unparse, node.bases)
    }
    assert found == {enum.__name__ for enum, _ in MIRRORS}


def test_the_outcomes_of_a_simulated_task_have_the_names_of_the_message():
    assert {outcome.name for outcome in TaskOutcome} == set(numbers(TaskStatus))


def test_lifecycle_states_are_numbered_as_in_lifecycle_msgs():
    for name in ("UNCONFIGURED", "INACTIVE", "ACTIVE", "FINALIZED"):
        assert getattr(liveness, name) == getattr(State, f"PRIMARY_STATE_{name}")


def test_kinds_of_a_policys_inputs_are_named_as_in_the_message():
    kinds = {*inputs.PROMPT_KINDS, *inputs.OBSERVATION_KINDS, *inputs.ACTION_KINDS}
    assert set(constants(PolicyInputs, str).values()) == kinds


def test_views_are_named_as_in_the_message():
    assert (ViewObjects.FRONT, ViewObjects.TOP) == VIEWS


@pytest.mark.parametrize("message", [ArmState, EpisodeStatus, PromptStatus])
def test_a_code_of_a_message_is_its_own_name(message):
    assert all(name == code for name, code in constants(message, str).items())


def test_ends_of_an_episode_are_codes_of_its_message():
    ends = set(values.REGULAR_END_CODES)
    for path in (SOURCES / "episode").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "end":
                ends |= set(error_codes.codes_in(ast.unparse(node)))
    assert len(ends) > len(values.REGULAR_END_CODES)
    assert ends <= set(constants(EpisodeStatus, str))
    assert HistoryFullError("full").code == EpisodeStatus.HISTORY_FULL
    assert PromptTooLongError("long").code == EpisodeStatus.PROMPT_TOO_LONG


def test_codes_that_are_no_failures_are_the_arms_or_the_gates():
    arm = {*constants(ArmState, str), *(code.value for code in GateCode)}
    assert set(values.NON_FAILURE_CODES) <= arm


def test_codes_of_the_prompt_library_are_in_its_message():
    raised = set()
    for path in (SOURCES / "prompt").glob("*.py"):
        raised |= set(error_codes.codes_in(path.read_text()))
    assert raised | {PromptTooLongError("long").code} <= set(constants(PromptStatus, str))
