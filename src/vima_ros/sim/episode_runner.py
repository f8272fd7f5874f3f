"""An episode under way: its world, its judge and how many actions were taken."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vima_ros.arm.primitives import MotionParameters, plan_waypoints
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Workspace
from vima_ros.sim.domain_randomization import VisualAppearance, random_appearance
from vima_ros.sim.tabletop import Tabletop
from vima_ros.sim.tasks import TASKS, find_task
from vima_ros.sim.tasks.base import (
    Asset,
    Level,
    SuccessCriterion,
    Task,
    TaskEpisode,
    TaskOutcome,
    TaskResult,
    WorldState,
)
from vima_ros.specs import EndEffector, Primitive

# The flying tool is light and stiff, so it may be quicker than an arm; and nothing is in its way.
FAST_MOTION = MotionParameters(
    travel_height=0.25,
    sweep_travel_height=0.12,
    travel_speed=2.0,
    approach_speed=0.2,
    sweep_speed=0.3,
    suction_dwell=0.04,
)
SETTLE_TIME = 0.3  # what was set down a few millimetres too high falls [s]
_APPEARANCE_STREAM = 1  # of random numbers, apart from those of the episode itself


def task_primitive(task: Task) -> Primitive:
    """What an action of this task means."""
    spatula = task.end_effector == EndEffector.SPATULA
    return Primitive.SWEEP if spatula else Primitive.PICK_PLACE


def world_state(tabletop: Tabletop) -> WorldState:
    """Where everything is now."""
    names = [item.name for item in tabletop.scene.objects]
    return WorldState({name: tabletop.object_pose(name) for name in names}, tabletop.scene)


def execute_action(
    tabletop: Tabletop,
    criterion: SuccessCriterion,
    poses: tuple[Pose, Pose],
    kind: Primitive,
    motion: MotionParameters = FAST_MOTION,
) -> TaskOutcome:
    """Carry out an action to its end, watched and then judged.

    Raises VimaError (NOT_FINITE) for a pose without a yaw, or a sweep without a direction.
    """
    waypoints = plan_waypoints(kind, *poses, Workspace(), motion)
    tabletop.execute(waypoints, lambda: criterion.monitor(world_state(tabletop)))
    return criterion.update(world_state(tabletop)).outcome


class EpisodeRunner:
    """One episode, from its start. A context manager; one thread, as ``Tabletop``.

    ``code`` and ``message`` say why the last action was not carried out to its end: as
    ``SimulatedRobotState``'s, or NOT_FINITE for one that means no motion; empty when it was.
    """

    def __init__(self, episode: TaskEpisode, motion: MotionParameters = FAST_MOTION) -> None:
        self.episode, self.task = episode, find_task(episode.task)
        self.primitive, self._motion = task_primitive(self.task), motion
        self.tabletop = Tabletop(episode.scene)
        self.tabletop.advance(SETTLE_TIME)
        self._criterion = self.task.success_criterion(episode)
        self.steps, self.code, self.message = 0, "", ""

    def __enter__(self) -> EpisodeRunner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free what the pictures needed."""
        self.tabletop.close()

    @property
    def result(self) -> TaskResult:
        """The judge's last word."""
        return self._criterion.result

    @property
    def truncated(self) -> bool:
        """Whether the step limit was reached without success or failure."""
        return self.result.outcome == TaskOutcome.RUNNING and self.steps >= self.episode.step_limit

    @property
    def done(self) -> bool:
        """Whether no further action is taken."""
        return self.result.outcome != TaskOutcome.RUNNING or self.truncated

    def world_state(self) -> WorldState:
        """Where everything truly is now."""
        return world_state(self.tabletop)

    def object_poses(self) -> np.ndarray:
        """(K, 7) float64 x, y, z [m], quaternion xyzw, in the order of the scene's objects."""
        poses = self.world_state().poses.values()
        return np.array([[*pose.position, *pose.quaternion] for pose in poses])

    def step(self, pose0: Pose, pose1: Pose) -> TaskResult:
        """Carry out an action to its end and judge it.

        One that means no motion (a pose without a yaw, a sweep without a direction) moves nothing
        and costs a step, as a pick that finds nothing. Raises VimaError (EPISODE_OVER).
        """
        if self.done:
            raise VimaError("EPISODE_OVER", "the episode has ended; valid: start another")
        self.steps += 1
        try:
            execute_action(
                self.tabletop, self._criterion, (pose0, pose1), self.primitive, self._motion
            )
            state = self.tabletop.robot_state
            self.code, self.message = state.code, state.message
        except VimaError as error:
            self.code, self.message = error.code, str(error)
            self._criterion.update(self.world_state())
        return self.result


def with_appearance(episode: TaskEpisode, appearance: VisualAppearance) -> TaskEpisode:
    """The same episode seen in another way, its prompt too (without clutter)."""
    plain = replace(appearance, clutter=())
    assets = {
        name: Asset(asset.kind, replace(asset.scene, appearance=plain))
        for name, asset in episode.assets.items()
    }
    return replace(episode, scene=replace(episode.scene, appearance=appearance), assets=assets)


def with_random_appearance(episode: TaskEpisode, strength: float) -> TaskEpisode:
    """The look its seed draws; 0: as it is. Raises VimaError (INVALID_VALUE) beyond 0 to 1."""
    if strength == 0.0:
        return episode
    stream = [_APPEARANCE_STREAM, zlib.crc32(episode.task.encode()), episode.seed]
    return with_appearance(episode, random_appearance(np.random.default_rng(stream), strength))


def find_level(name: str | None) -> Level | None:
    """The level of that name, None for None; VimaError (UNKNOWN_LEVEL) when there is none."""
    try:
        return None if name is None else Level(name)
    except ValueError:
        valid = ", ".join(level.value for level in Level)
        raise VimaError("UNKNOWN_LEVEL", f"no level {name!r}; valid: {valid}") from None


def choose_tasks(names: str | Sequence[str] | None, level: Level | None) -> tuple[Task, ...]:
    """The tasks of those names, or all that have ``level`` (None: all).

    Raises VimaError: UNKNOWN_TASK, or UNKNOWN_LEVEL where a named task does not have it.
    """
    if names is None:
        return tuple(t for t in TASKS.values() if level is None or level in t.levels)
    tasks = tuple(find_task(name) for name in ([names] if isinstance(names, str) else names))
    for task in tasks:
        task.check_level(level)
    return tasks
