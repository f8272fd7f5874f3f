"""States, reports and verdicts, with the numbers that the messages have."""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """As in vima_msgs/EpisodeStatus."""

    IDLE = 0
    OBSERVING = 1
    DECIDING = 2
    EXECUTING = 3
    PAUSED = 4
    FINISHED = 5
    FAILED = 6


class ArmReport(IntEnum):
    """As in vima_msgs/ArmState."""

    IDLE = 0
    EXECUTING = 1
    SUCCEEDED = 2
    REFUSED = 3
    ABORTED = 4
    STOPPED = 5


class Verdict(IntEnum):
    """As in vima_msgs/TaskStatus."""

    RUNNING = 0
    SUCCESS = 1
    FAILURE = 2
