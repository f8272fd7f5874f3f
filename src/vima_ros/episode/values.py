"""States of an episode and reports about it, with the numbers that the messages have."""

from __future__ import annotations

from enum import IntEnum


class EpisodeState(IntEnum):
    """State of an episode, as in vima_msgs/EpisodeStatus."""

    IDLE = 0
    OBSERVING = 1
    DECIDING = 2
    EXECUTING = 3
    PAUSED = 4
    FINISHED = 5
    FAILED = 6


class ArmReport(IntEnum):
    """State of the arm or of a command, as in vima_msgs/ArmState."""

    IDLE = 0
    EXECUTING = 1
    SUCCEEDED = 2
    REFUSED = 3
    ABORTED = 4
    STOPPED = 5


class TaskStatusOutcome(IntEnum):
    """Outcome of a task, as in vima_msgs/TaskStatus."""

    RUNNING = 0
    SUCCESS = 1
    FAILURE = 2


RUNNING_STATES = (
    EpisodeState.OBSERVING,
    EpisodeState.DECIDING,
    EpisodeState.EXECUTING,
    EpisodeState.PAUSED,
)
FINAL_REPORTS = (ArmReport.SUCCEEDED, ArmReport.REFUSED, ArmReport.ABORTED)  # of a command
# Codes of regular or requested ends; all others are failures.
REGULAR_END_CODES = ("SUCCESS", "STEP_LIMIT", "CANCELLED", "RESET", "REPLACED")
# Codes of steps that are no failures: in VIMA-Bench, a pick that finds nothing is a step like any
# other, and dry_run is intended.
NON_FAILURE_CODES = ("OK", "NOT_PICKED", "DRY_RUN")
