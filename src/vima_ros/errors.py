"""Exceptions of this package, and the codes of the safety gate.

A class of its own has what somebody catches; everything else is a VimaError with its code.
``error_codes.CODES`` lists all codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any


class VimaError(ValueError):
    """Error of invalid input, with a code.

    ``code`` is stable and meant for programs; the message is for people and names the problem, the
    value and what is valid. ``view`` is the camera view that the error is about, empty for none.
    It can be pickled, so a worker process can raise it in its parent, and ``VimaError(error)`` is
    an equal error, as gymnasium's AsyncVectorEnv builds it; both hold for subclasses too.
    """

    def __init__(self, code: str | VimaError, message: str | VimaError | None = None) -> None:
        source = code if isinstance(code, VimaError) else message
        if source is None:
            raise TypeError("VimaError has a code and a message; got one argument")
        super().__init__(str(source))
        self.code, self.view = str(code), ""
        if isinstance(source, VimaError):
            vars(self).update(vars(source))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), str(self), vars(self))

    def add_context(self, context: str) -> None:
        """Put ``context``, such as "front view: ", before the message."""
        self.args = (f"{context}{self}",)


def _restore(kind: type[VimaError], message: str, attributes: dict[str, Any]) -> VimaError:
    error = kind.__new__(kind, message)
    vars(error).update(attributes)
    return error


class WaitTimeoutError(VimaError):
    """Something awaited did not happen within ``seconds``."""

    def __init__(self, message: str | VimaError, seconds: float = 0.0) -> None:
        self.seconds = seconds
        super().__init__("TIMEOUT", message)


class NodeDiedError(VimaError):
    """The node ``name`` ended or fell silent."""

    def __init__(self, message: str | VimaError, name: str = "") -> None:
        self.name = name
        super().__init__("NODE_DIED", message)


class NoRoomError(VimaError):
    """A scene has no room for what was drawn at random; another seed may have."""

    def __init__(self, message: str | VimaError) -> None:
        super().__init__("NO_ROOM", message)


class PromptTooLongError(VimaError):
    """A prompt has ``length`` tokens, more than the policy reads."""

    def __init__(self, message: str | VimaError, length: int = 0) -> None:
        self.length = length
        super().__init__("PROMPT_TOO_LONG", message)


class HistoryFullError(VimaError):
    """An episode's history would have ``length`` tokens, more than the policy reads."""

    def __init__(self, message: str | VimaError, length: int = 0) -> None:
        self.length = length
        super().__init__("HISTORY_FULL", message)


class FieldError(VimaError):
    """A configuration's ``field`` has an invalid value."""

    def __init__(self, message: str | VimaError, field: str = "") -> None:
        self.field = field
        super().__init__("BAD_CONFIG", message)


def error_of_views(code: str, problems: Iterable[tuple[str, str]], advice: str = "") -> VimaError:
    """Return an error that names a problem of each view, as in "front view: ...; top view: ...".

    ``problems``: pairs of view and problem. ``advice`` follows them.
    """
    problems = list(problems)
    text = "; ".join(f"{view} view: {problem}" for view, problem in problems)
    error = VimaError(code, text + advice)
    views = {view for view, _ in problems}
    error.view = views.pop() if len(views) == 1 else ""
    return error


class DetectionError(VimaError):
    """A detector cannot tell the objects of an image, which is valid input."""


@contextmanager
def add_view_to_errors(view: str) -> Iterator[None]:
    """Set ``view`` of a VimaError, and put it before the message, as in "front view: ..."."""
    try:
        yield
    except VimaError as error:
        error.view = view
        error.add_context(f"{view} view: ")
        raise


class GateCode(str, Enum):
    """Result of the safety gate: ``OK``, or the reason of a refusal."""

    OK = "OK"
    OUTSIDE_WORKSPACE = "OUTSIDE_WORKSPACE"
    NOT_FINITE = "NOT_FINITE"
    STALE = "STALE"
    UNREACHABLE = "UNREACHABLE"
    TOO_FAST = "TOO_FAST"
    NOT_ACTIVE = "NOT_ACTIVE"
    BUSY = "BUSY"
    STOPPED = "STOPPED"
    LOW_CONFIDENCE = "LOW_CONFIDENCE"
    DUPLICATE = "DUPLICATE"
    NOT_CONFIRMED = "NOT_CONFIRMED"
    CANCELLED = "CANCELLED"
    DRY_RUN = "DRY_RUN"
    NO_CONTROLLER = "NO_CONTROLLER"

    def __str__(self) -> str:
        return self.value
