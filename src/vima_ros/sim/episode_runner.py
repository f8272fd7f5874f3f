"""Execution of a task's episode in the simulator: actions, success criterion and step count."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from vima_ros.arm.primitives import MotionParameters, plan_waypoints
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Workspace
from vima_ros.sim.domain_randomization import VisualAppearance, random_appearance
from vima_ros.sim.rendering.prompt_renderer import RenderedView, render_prompt_images
from vima_ros.sim.tabletop import Tabletop
from vima_ros.sim.tasks import TASKS, find_task
from vima_ros.sim.tasks.base import (
    Asset,
    Level,
    SuccessCriterion,
    Task,
    TaskEpisode,
    TaskEvaluation,
    TaskOutcome,
    WorldState,
)
from vima_ros.specs import AssetKind, EndEffector, Primitive

# The free gripper is light and stiff, so it can move faster than an arm.
FAST_MOTION = MotionParameters(
    travel_height=0.25,
    sweep_travel_height=0.12,
    travel_speed=2.0,
    approach_speed=0.2,
    sweep_speed=0.3,
    suction_dwell=0.04,
)
SETTLE_TIME = 0.3  # at the start, for objects that are placed a few millimetres too high [s]
_APPEARANCE_STREAM = 1  # random numbers independent of those of the episode


def task_primitive(task: Task) -> Primitive:
    """Return the primitive of a task's actions."""
    spatula = task.end_effector == EndEffector.SPATULA
    return Primitive.SWEEP if spatula else Primitive.PICK_PLACE


def world_state(tabletop: Tabletop) -> WorldState:
    """Return the true poses of all objects."""
    names = [item.name for item in tabletop.scene.objects]
    return WorldState({name: tabletop.object_pose(name) for name in names}, tabletop.scene)


def execute_action(
    tabletop: Tabletop,
    criterion: SuccessCriterion,
    poses: tuple[Pose, Pose],
    kind: Primitive,
    motion: MotionParameters = FAST_MOTION,
) -> TaskOutcome:
    """Execute an action, monitored by the criterion, and evaluate its outcome.

    Raises VimaError (NOT_FINITE) for a pose without a yaw, or a sweep without a direction.
    """
    waypoints = plan_waypoints(kind, *poses, tabletop.scene.workspace, motion)
    tabletop.execute(waypoints, lambda: criterion.monitor(world_state(tabletop)))
    return criterion.update(world_state(tabletop)).outcome


class EpisodeRunner:
    """Runner of one episode from its start. A context manager; not thread-safe, as ``Tabletop``.

    ``code`` and ``message``: reason why the last action failed, as in ``SimulatedRobotState``, or
    NOT_FINITE for an action that defines no motion; empty if it succeeded.
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
        """Free the rendering resources."""
        self.tabletop.close()

    @property
    def workspace(self) -> Workspace:
        """Workspace of the scene."""
        return self.episode.scene.workspace

    @property
    def end_effector(self) -> EndEffector:
        """Mounted end effector."""
        return self.episode.scene.end_effector

    def render(self, view: str) -> np.ndarray:
        """Render "front" or "top", as ``Tabletop.render``."""
        return self.tabletop.render(view)

    def render_mask(self, view: str) -> np.ndarray:
        """Render the mask of a view, as ``Tabletop.render_mask``."""
        return self.tabletop.render_mask(view)

    def prompt_images(self) -> Mapping[str, tuple[AssetKind, Mapping[str, RenderedView]]]:
        """Return kind and images of each placeholder of the prompt."""
        return {
            name: (asset.kind, render_prompt_images(asset.scene, asset.kind))
            for name, asset in self.episode.assets.items()
        }

    @property
    def result(self) -> TaskEvaluation:
        """Last result of the success criterion."""
        return self._criterion.result

    @property
    def truncated(self) -> bool:
        """True if the step limit was reached without success or failure."""
        return self.result.outcome == TaskOutcome.RUNNING and self.steps >= self.episode.step_limit

    @property
    def done(self) -> bool:
        """True if the episode has ended."""
        return self.result.outcome != TaskOutcome.RUNNING or self.truncated

    def world_state(self) -> WorldState:
        """Return the true poses of all objects."""
        return world_state(self.tabletop)

    def object_poses(self) -> np.ndarray:
        """Return x, y, z [m], quaternion xyzw of the scene's objects in order, (K, 7) float64."""
        poses = self.world_state().poses.values()
        return np.array([[*pose.position, *pose.quaternion] for pose in poses])

    def step(self, pose0: Pose, pose1: Pose) -> TaskEvaluation:
        """Execute an action and evaluate its outcome.

        An action that defines no motion (a pose without a yaw, a sweep without a direction) moves
        nothing and counts as a step, as does a failed pick. Raises VimaError (EPISODE_OVER).
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
    """Return the episode and its prompt (without clutter) with another appearance."""
    plain = replace(appearance, clutter=())
    assets = {
        name: Asset(asset.kind, replace(asset.scene, appearance=plain))
        for name, asset in episode.assets.items()
    }
    return replace(episode, scene=replace(episode.scene, appearance=appearance), assets=assets)


def with_random_appearance(episode: TaskEpisode, strength: float) -> TaskEpisode:
    """Return the episode with the random appearance of its seed; ``strength`` 0: unchanged.

    Raises VimaError (INVALID_VALUE) for a strength outside 0 to 1.
    """
    if strength == 0.0:
        return episode
    stream = [_APPEARANCE_STREAM, zlib.crc32(episode.task.encode()), episode.seed]
    rng = np.random.default_rng(stream)
    return with_appearance(episode, random_appearance(rng, strength, episode.scene.workspace))


def find_level(name: str | None) -> Level | None:
    """Return the level of that name, None for None. Raises VimaError (UNKNOWN_LEVEL)."""
    try:
        return None if name is None else Level(name)
    except ValueError:
        valid = ", ".join(level.value for level in Level)
        raise VimaError("UNKNOWN_LEVEL", f"no level {name!r}; valid: {valid}") from None


def choose_tasks(names: str | Sequence[str] | None, level: Level | None) -> tuple[Task, ...]:
    """Return the tasks of those names, or all that have ``level`` (None: all).

    Raises VimaError: UNKNOWN_TASK, or UNKNOWN_LEVEL if a named task does not have the level.
    """
    if names is None:
        return tuple(t for t in TASKS.values() if level is None or level in t.levels)
    tasks = tuple(find_task(name) for name in ([names] if isinstance(names, str) else names))
    for task in tasks:
        task.check_level(level)
    return tasks
