"""Exception of this package, and the codes of the safety gate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any


class VimaError(ValueError):
    """Error of invalid input, with a code.

    ``code`` is stable and meant for programs; the message is for people and names the problem, the
    value and what is valid. It can be pickled, so a worker process can raise it in its parent, and
    ``VimaError(error)`` is an equal error, as gymnasium's AsyncVectorEnv builds it.
    """

    def __init__(self, code: str | VimaError, message: str | None = None) -> None:
        if isinstance(code, VimaError):
            code, message = code.code, str(code)
        if message is None:
            raise TypeError("VimaError has a code and a message; got one argument")
        super().__init__(message)
        self.code: str = code

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, str(self))


@contextmanager
def add_view_to_errors(view: str) -> Iterator[None]:
    """Prefix the message of a VimaError with the view, as in "front view: ..."."""
    try:
        yield
    except VimaError as error:
        raise VimaError(error.code, f"{view} view: {error}") from error


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
