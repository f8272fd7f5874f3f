"""Report of a replay: one record per step, as a table and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from math import degrees
from pathlib import Path
from typing import Any

from vima_ros.files import write_json


@dataclass
class StepRecord:
    """One step; ``code``: the gate's, OK where a command left, NO_DECISION where none came.

    ``episode``: code by which the policy's episode had ended or paused, where that is why;
    ``objects``: count by view, empty for a policy that reads whole images; ``picked_track_id``:
    the object inside whose outline the pick was chosen, 0: by the bins alone; ``pose0``,
    ``pose1``: x, y [m] and yaw [rad], None where the quaternion has none; ``waypoints``, as in
    arm_command in base_link: x, y, z [m], yaw [rad] and tool_on of each; ``attention``: where it
    was asked for, what the action and each object attend to, and the name of the image of it;
    ``times`` [s]: detection (both views), decision (frames sent to action received), command
    (frames sent to the gate's answer received).
    """

    step: int
    stamp_ns: int
    objects: dict[str, int] = field(default_factory=dict)
    bins: list[int] = field(default_factory=list)
    picked_track_id: int = 0
    primitive: str = ""
    pose0: list[float | None] = field(default_factory=list)
    pose1: list[float | None] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)
    command_id: str = ""
    waypoints: list[dict[str, Any]] = field(default_factory=list)
    code: str = "NO_DECISION"
    episode: str = ""
    message: str = ""
    attention: dict[str, Any] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)

    @property
    def decided(self) -> bool:
        """True if the policy decided and the gate answered."""
        return bool(self.bins) and self.code != "NO_DECISION"

    @property
    def row(self) -> list[str]:
        """Cells of the table's row."""

        def place(pose: list[float | None]) -> str:
            if not pose:
                return "-"
            x, y, yaw = pose
            return f"({x:.3f}, {y:+.3f}) " + (
                "no yaw" if yaw is None else f"{degrees(yaw):+4.0f}°"
            )

        milliseconds = f"{1e3 * self.times['decision']:.0f}" if "decision" in self.times else "-"
        seen = "/".join(str(self.objects.get(view, "-")) for view in ("front", "top"))
        return [
            str(self.step),
            seen,
            self.primitive or "-",
            place(self.pose0),
            place(self.pose1),
            f"{self.code} ({self.episode})" if self.episode else self.code,
            milliseconds,
        ]


HEADINGS = ["step", "front/top", "primitive", "pose0 [m]", "pose1 [m]", "gate", "decision [ms]"]


def write_report(path: Path, bag: str, prompt: dict[str, Any], steps: list[StepRecord]) -> None:
    """Write replay.json: the bag's name, the prompt and its result, and the steps.

    Raises VimaError (CANNOT_WRITE).
    """
    content = {"bag": bag, "prompt": prompt, "steps": [asdict(step) for step in steps]}
    write_json(path, content)
