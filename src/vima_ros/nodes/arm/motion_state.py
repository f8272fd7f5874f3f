"""State of the arm's motion at one moment, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vima_ros.arm.safety_gate import Approved, ArmContext, Request
from vima_ros.errors import GateCode, VimaError

MAX_CANCELLED = 1000  # prompts that are remembered as cancelled


@dataclass(frozen=True)
class ActiveCommand:
    """A command that passed the gate and has not ended.

    ``since``: time at which it passed the gate, or was sent [s, steady clock]. ``planning_time``
    of gate and plan [s]. ``sent``: False while it waits for a confirmation. ``started``: the robot
    reported that it executes it.
    """

    request: Request
    approved: Approved
    since: float
    planning_time: float = 0.0
    sent: bool = False
    started: bool = False

    @property
    def command_id(self) -> str:
        """Id of the command."""
        return self.request.command_id

    @property
    def description(self) -> str:
        """Length of the motion as text."""
        text, plan = f"{len(self.approved.waypoints)} waypoints", self.approved.plan
        return text if plan is None else f"{text}, {plan.duration:.1f} s of motion"


@dataclass(frozen=True)
class MotionState:
    """The active command and what decides on the next one.

    ``stop_reason``: empty unless the arm is stopped; ``stops``: how often it was, so that a motion
    planned before a stop is not sent once that is lifted. ``last_motion_end``: on the node's clock
    [ns]. ``cancelled_prompt_ids``: the prompts that may move the arm no more.
    """

    active: ActiveCommand | None = None
    stop_reason: str = ""
    stops: int = 0
    last_motion_end: int = 0
    cancelled_prompt_ids: tuple[str, ...] = ()

    @property
    def command_id(self) -> str:
        """Id of the active command; empty if there is none."""
        return self.active.command_id if self.active else ""

    @property
    def waiting(self) -> ActiveCommand | None:
        """The active command if it waits for a confirmation."""
        return self.active if self.active and not self.active.sent else None

    def context(self, now: int, active: bool) -> ArmContext:
        """Return the part of the gate's context that is known here; ``now``: node's clock [ns]."""
        return ArmContext(
            now=now,
            active=active,
            stop_reason=self.stop_reason,
            busy_with=self.command_id,
            last_motion_end=self.last_motion_end,
            cancelled_prompt_ids=self.cancelled_prompt_ids,
        )

    def check_no_stop_since(self, stops: int) -> None:
        """Raise VimaError (STOPPED) if there was a stop since that number of them."""
        if self.stops != stops:
            raise VimaError(GateCode.STOPPED.value, "stopped and resumed while it was planned")

    def with_stop(self, reason: str) -> MotionState:
        """Return the state stopped for ``reason``."""
        return replace(self, stop_reason=reason, stops=self.stops + 1)

    def with_cancelled(self, prompt_id: str) -> MotionState:
        """Return the state with ``prompt_id`` among the cancelled."""
        cancelled = (*self.cancelled_prompt_ids, prompt_id)
        return replace(self, cancelled_prompt_ids=cancelled[-MAX_CANCELLED:])
