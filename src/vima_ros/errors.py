"""The one exception of this package, and the codes of the safety gate."""

from enum import Enum


class VimaError(ValueError):
    """What was handed in cannot be used.

    ``code`` is stable and meant for programs; the message is for people and names what was wrong,
    what was got and what is valid.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class GateCode(str, Enum):
    """Why the safety gate let an action pass (``OK``) or refused it."""

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
