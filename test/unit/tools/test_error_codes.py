"""Every code that the sources and messages have is in the list, and on the page."""

import error_codes
import pytest

from vima_ros.error_codes import CODES

FOUND = error_codes.find_codes()


def test_every_code_has_a_meaning():
    assert {code: where for code, where in FOUND.items() if code not in CODES} == {}


def test_every_code_of_the_list_appears_somewhere():
    assert set(CODES) - set(FOUND) == set()


def test_the_list_is_in_order_and_its_meanings_are_phrases():
    assert list(CODES) == sorted(CODES)
    assert [m for m in CODES.values() if m.endswith(".") or "|" in m or not m.isprintable()] == []


@pytest.mark.slow
def test_the_page_is_what_the_tool_writes():
    assert error_codes.PAGE.read_text() == error_codes.page(), "run tools/error_codes.py"


@pytest.mark.parametrize(
    "source",
    [
        'raise VimaError("NEW_CODE", "text")',
        'raise errors.VimaError("NEW_CODE" if here else other, "text")',
        'raise error_of_views("NEW_CODE", problems)',
        'super().__init__("NEW_CODE", message)',
        'episode.end("NEW_CODE", "reason")',
        'ExecutionResult("NEW_CODE")',
        'status = Status(code="NEW_CODE")',
        'response.code, response.message = "NEW_CODE", "text"',
        'code: str = "NEW_CODE"',
        'if code == "NEW_CODE": pass',
        'if error.code in ("NEW_CODE", other): pass',
        'END_CODES = ("NEW_CODE",)',
        'text = f"NEW_CODE: {reason}"',
    ],
)
def test_a_code_is_found_wherever_it_stands(source):
    assert set(error_codes.codes_in(source)) == {"NEW_CODE"}


@pytest.mark.parametrize(
    "source",
    ['os.environ["ROS_DOMAIN_ID"]', 'VimaError(code, "A_WORD in a text")', 'name = "NEW_CODE"'],
)
def test_other_words_in_capitals_are_no_codes(source):
    assert list(error_codes.codes_in(source)) == []
