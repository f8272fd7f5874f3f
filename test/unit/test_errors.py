import pickle

import pytest

from vima_ros.errors import (
    FieldError,
    HistoryFullError,
    NodeDiedError,
    NoRoomError,
    PromptTooLongError,
    VimaError,
    WaitTimeoutError,
    add_view_to_errors,
)

ERRORS = [
    VimaError("BAD_BOX", "too flat"),
    WaitTimeoutError("no answer", 1.5),
    NodeDiedError("policy has ended", "policy"),
    NoRoomError("too full"),
    PromptTooLongError("300 tokens", 300),
    HistoryFullError("513 tokens", 513),
    FieldError("vit_heads is 0", "vit_heads"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
def test_an_error_reaches_another_process_whole(error):
    error.view = "front"
    # AsyncVectorEnv of gymnasium raises the worker's type with the worker's error as its argument
    for copy in (pickle.loads(pickle.dumps(error)), type(error)(error)):
        assert type(copy) is type(error)
        assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_a_plain_copy_has_everything_of_a_subclass():
    copy = VimaError(WaitTimeoutError("no answer", 1.5))
    assert (copy.code, str(copy), copy.seconds) == ("TIMEOUT", "no answer", 1.5)


def test_an_error_needs_a_code_and_a_message():
    with pytest.raises(TypeError):
        VimaError("a message without a code")


def test_an_error_of_a_view_names_it_and_keeps_its_class():
    with (
        pytest.raises(NoRoomError, match="front view: too full") as raised,
        add_view_to_errors("front"),
    ):
        raise NoRoomError("too full")
    assert raised.value.view == "front"
