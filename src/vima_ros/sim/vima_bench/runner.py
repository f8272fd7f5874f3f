"""Episodes of the original VIMA-Bench, with the interface of ``EpisodeRunner``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vima_ros.arm.primitives import Waypoint, plan_waypoints
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Workspace
from vima_ros.policy_frame import VIMA_WORKSPACE
from vima_ros.sim.episode_runner import find_level, task_primitive
from vima_ros.sim.rendering.prompt_renderer import RenderedView
from vima_ros.sim.tasks import find_task
from vima_ros.sim.tasks.base import TaskEvaluation, TaskOutcome
from vima_ros.sim.vima_bench.actions import action_from_waypoints
from vima_ros.sim.vima_bench.process import VimaBenchProcess
from vima_ros.specs import VIEWS, AssetKind, EndEffector, Primitive

FIRST_SEED, MAX_SEED = 600_000, 699_999  # from 700,000 on: kept aside for final comparisons
KINDS = {"object": AssetKind.OBJECT, "scene": AssetKind.SCENE}


@dataclass(frozen=True, eq=False)
class VimaBenchEpisode:
    """Start of an episode; ``images``: of the prompt, {placeholder: (kind, {view: image})}."""

    task: str
    level: str
    seed: int
    prompt: str
    images: Mapping[str, tuple[AssetKind, Mapping[str, RenderedView]]]
    end_effector: EndEffector
    step_limit: int


class VimaBenchRunner:
    """Runner of one episode after the other; the process starts with the first, and after a death.

    ``code`` and ``message``: reason why the last action failed: NOT_PICKED, or TIMEOUT of a
    motion; empty if it succeeded. ``steps``: actions of the episode. A context manager.
    """

    workspace: Workspace = VIMA_WORKSPACE

    def __init__(self) -> None:
        self._process: VimaBenchProcess | None = None
        self.episode: VimaBenchEpisode

    def __enter__(self) -> VimaBenchRunner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def start(self) -> None:
        """Start the process where there is none. Raises VimaError as ``VimaBenchProcess``."""
        if self._process is None:
            self._process = VimaBenchProcess()

    @property
    def pid(self) -> int | None:
        """Id of the process, None where there is none."""
        return None if self._process is None else self._process.pid

    def load(self, task: str, level: str, seed: int) -> VimaBenchEpisode:
        """Begin an episode; an empty ``level`` is the task's first.

        Raises VimaError: UNKNOWN_TASK, UNKNOWN_LEVEL, INVALID_VALUE (seed), as
        ``VimaBenchProcess``.
        """
        found = find_task(task)
        level = found.check_level(find_level(level or None)).value
        if not 0 <= seed <= MAX_SEED:
            raise VimaError("INVALID_VALUE", f"seed {seed} of VIMA-Bench; valid: 0 to {MAX_SEED}")
        fields, arrays = self._call("load", task=task, level=level, seed=seed)
        images = {
            name: (KINDS[kind], _views(f"asset_{number}_", arrays, ids))
            for number, (name, kind, ids) in enumerate(fields["assets"])
        }
        effector = EndEffector[fields["end_effector"].upper()]
        self.episode = VimaBenchEpisode(
            task, level, seed, fields["prompt"], images, effector, fields["step_limit"]
        )
        self.primitive: Primitive = task_primitive(found)
        self._ids = fields["ids"]
        self._observed = _views("", arrays, self._ids)
        self.steps, self.code, self.message = 0, "", ""
        self.result = TaskEvaluation(TaskOutcome.RUNNING)
        return self.episode

    @property
    def end_effector(self) -> EndEffector:
        """End effector of the episode."""
        return self.episode.end_effector

    def prompt_images(self) -> Mapping[str, tuple[AssetKind, Mapping[str, RenderedView]]]:
        """Return kind and images of each placeholder of the prompt."""
        return self.episode.images

    def render(self, view: str) -> np.ndarray:
        """Return the last image of "front" or "top", (128, 256, 3) uint8 RGB."""
        return self._observed[view].rgb

    def render_mask(self, view: str) -> np.ndarray:
        """Return the last mask of a view, (128, 256) uint8: 0, or the number of an object."""
        return self._observed[view].mask

    def step(self, pose0: Pose, pose1: Pose) -> TaskEvaluation:
        """Execute an action. Raises VimaError: NOT_FINITE, EPISODE_OVER, as ``execute``."""
        return self.execute(plan_waypoints(self.primitive, pose0, pose1, self.workspace))

    def execute(self, waypoints: Sequence[Waypoint]) -> TaskEvaluation:
        """Execute the motion of a command, in the table frame, and return the task's result.

        Raises VimaError: EPISODE_OVER, BAD_COMMAND, SIMULATOR_FAILED, SIMULATOR_DIED.
        """
        if self.result.outcome != TaskOutcome.RUNNING:
            raise VimaError("EPISODE_OVER", "the episode has ended; valid: start another")
        action = action_from_waypoints(self.primitive, waypoints, self.workspace)
        fields, arrays = self._call("step", action=action)
        self.steps += 1
        self._observed = _views("", arrays, self._ids)
        self.code, self.message = _fault(fields["timed_out"], fields["picked"])
        if fields["success"]:
            self.result = TaskEvaluation(TaskOutcome.SUCCESS)
        elif fields["failure"] or fields["timed_out"]:
            reason = self.message if fields["timed_out"] else "as VIMA-Bench judges"
            self.result = TaskEvaluation(TaskOutcome.FAILURE, reason)
        return self.result

    def _call(self, request: str, **fields: object) -> tuple[dict, dict[str, np.ndarray]]:
        self.start()
        assert self._process is not None
        try:
            return self._process.call(request, **fields)
        except VimaError as error:
            if error.code == "SIMULATOR_DIED":
                self._process = None  # the next episode starts another
            raise


def _fault(timed_out: bool, picked: bool | None) -> tuple[str, str]:
    if timed_out:
        return "TIMEOUT", "a joint move took longer than VIMA-Bench allows, 5 s"
    if picked is False:
        return "NOT_PICKED", "nothing movable under the cup"
    return "", ""


def _views(
    prefix: str, arrays: Mapping[str, np.ndarray], ids: Sequence[int]
) -> dict[str, RenderedView]:
    """Return RGB with channels last, and masks with the objects numbered from 1 as in ``ids``."""
    number = np.zeros(256, np.uint8)
    number[list(ids)] = np.arange(1, len(ids) + 1)
    return {
        view: RenderedView(
            np.ascontiguousarray(arrays[f"{prefix}rgb_{view}"].transpose(1, 2, 0)),
            number[arrays[f"{prefix}segm_{view}"]],
        )
        for view in VIEWS
    }
