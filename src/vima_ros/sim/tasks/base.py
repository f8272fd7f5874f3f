"""Base classes of the tasks: episodes, success criteria and oracles.

The episode of a task is a function of (task, level, seed) alone, in any process.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, ClassVar

import numpy as np

from vima_ros.errors import NoRoomError, VimaError
from vima_ros.geometry import Pose, Workspace, quaternion_from_yaw
from vima_ros.policy_frame import VIMA_WORKSPACE
from vima_ros.sim.scene import Scene
from vima_ros.sim.tasks.generated_split import generated_split
from vima_ros.sim.tasks.layout import LayoutSampler
from vima_ros.sim.tasks.splits import Level, Split, split
from vima_ros.specs import AssetKind, EndEffector

_ATTEMPTS = 100


class TaskOutcome(str, Enum):
    """Outcome of an episode so far."""

    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True)
class TaskEvaluation:
    """Outcome of a task with the reason why it has failed or is not yet solved."""

    outcome: TaskOutcome
    reason: str = ""

    def at_step(self, step: int, limit: int) -> TaskEvaluation:
        """Return the result after ``step`` commands: not solved in ``limit`` is a FAILURE."""
        if self.outcome != TaskOutcome.RUNNING or step < limit:
            return self
        return TaskEvaluation(
            TaskOutcome.FAILURE, f"not solved in {limit} steps; {self.reason}".strip("; ")
        )


@dataclass(frozen=True)
class Asset:
    """Scene of a prompt image; for an OBJECT it has exactly one object."""

    kind: AssetKind
    scene: Scene


@dataclass(frozen=True)
class TaskEpisode:
    """Initial state, prompt and goal of an episode.

    ``prompt`` has a {placeholder} for each image; ``assets`` has the images by that name in the
    order of the text, each once. ``step_limit``: maximum number of actions (VIMA-Bench's
    oracle_max_steps). ``goal``: goal of the task's criterion and oracle, a frozen dataclass.
    """

    task: str
    level: Level
    seed: int
    scene: Scene
    prompt: str
    assets: Mapping[str, Asset]
    step_limit: int
    goal: Any


@dataclass(frozen=True)
class WorldState:
    """True pose of each object's frame by name, in the table frame."""

    poses: Mapping[str, Pose]
    scene: Scene

    @staticmethod
    def at_start(scene: Scene) -> WorldState:
        """Return the initial poses of a scene."""
        poses = {
            item.name: Pose(
                np.array([*item.position_xy, item.base_height + item.scaled_shape.rest_height]),
                quaternion_from_yaw(item.yaw),
            )
            for item in scene.objects
        }
        return WorldState(poses, scene)


class SuccessCriterion(ABC):
    """Success criterion of one episode. SUCCESS and FAILURE are final."""

    def __init__(self) -> None:
        self._result = TaskEvaluation(TaskOutcome.RUNNING)

    @property
    def result(self) -> TaskEvaluation:
        """Last result of ``update``."""
        return self._result

    def update(self, world: WorldState) -> TaskEvaluation:
        """Evaluate the task; call it once after every action, when the scene is at rest."""
        if self._result.outcome == TaskOutcome.RUNNING:
            self._result = self._evaluate(world)
        return self._result

    def monitor(self, world: WorldState) -> None:  # noqa: B027 (most criteria need only the end)
        """Monitor a motion; call it several times per second."""

    @abstractmethod
    def _evaluate(self, world: WorldState) -> TaskEvaluation: ...


class Oracle(ABC):
    """Privileged policy that knows the goal and the true poses; it may have state."""

    @abstractmethod
    def act(self, world: WorldState) -> tuple[Pose, Pose] | None:
        """Return pose0 and pose1 of the next action, table frame, z = 0; None if there is none."""


@dataclass(frozen=True)
class EpisodeSpec:
    """Parts of an episode that a task draws at random."""

    scene: Scene
    prompt: str
    assets: Mapping[str, Asset]
    goal: Any

    def on(self, workspace: Workspace) -> EpisodeSpec:
        """Return the episode on a workspace. Raises VimaError (NO_ROOM) for objects beside it."""
        shown = [a.scene for a in self.assets.values() if a.kind == AssetKind.SCENE]
        objects = [item for scene in (self.scene, *shown) for item in scene.objects]
        beside = [item.name for item in objects if not workspace.contains(*item.position_xy)]
        if beside:
            raise NoRoomError(
                f"{', '.join(beside)} beside the workspace from {workspace.low} to "
                f"{workspace.high} m; valid: a larger one",
            )
        assets = {
            name: replace(asset, scene=replace(asset.scene, workspace=workspace))
            for name, asset in self.assets.items()
        }
        return replace(self, scene=replace(self.scene, workspace=workspace), assets=assets)


class Task(ABC):
    """Task of the benchmark, without state.

    ``templates``: variants of the prompt with {placeholder} for images and <word> for words.
    ``has_base``: True if objects are put into a base. ``names_textures``: True if words of the
    prompt name textures. ``levels``: levels that the task has.
    """

    name: ClassVar[str]
    templates: ClassVar[tuple[str, ...]]
    has_base: ClassVar[bool] = True
    names_textures: ClassVar[bool] = False
    step_limit: ClassVar[int]
    end_effector: ClassVar[EndEffector] = EndEffector.SUCTION
    levels: ClassVar[tuple[Level, ...]] = (
        Level.TRAIN,
        Level.PLACEMENT,
        Level.COMBINATORIAL,
        Level.NOVEL_OBJECT,
        Level.GENERATED,
    )

    @property
    def template(self) -> str:
        """First variant of the prompt."""
        return self.templates[0]

    def sample(
        self, seed: int, level: Level | None = None, workspace: Workspace = VIMA_WORKSPACE
    ) -> TaskEpisode:
        """Return the episode of a seed (0 or more); ``level`` None is the first of ``levels``.

        Raises VimaError: UNKNOWN_LEVEL, INVALID_VALUE (seed), NO_ROOM (does not occur with the
        registered shapes in VIMA-Bench's workspace).
        """
        level = self.check_level(level)
        if seed < 0:
            raise VimaError("INVALID_VALUE", f"seed {seed}; valid: 0 or more")
        stream = [zlib.crc32(self.name.encode()), list(Level).index(level), seed]
        random = np.random.default_rng(stream)
        for _ in range(_ATTEMPTS):
            try:
                layout = LayoutSampler(random, workspace)
                spec = self._draw(random, self._split(random, level), layout).on(workspace)
            except NoRoomError:
                continue
            parts = (spec.scene, spec.prompt, spec.assets, self.step_limit, spec.goal)
            return TaskEpisode(self.name, level, seed, *parts)
        raise NoRoomError(
            f"{self.name} with seed {seed} found no layout in {_ATTEMPTS} attempts between "
            f"{workspace.low} and {workspace.high} m; valid: another seed or a larger workspace",
        )

    def check_level(self, level: Level | None) -> Level:
        """Return ``level``, or the first for None. Raises VimaError (UNKNOWN_LEVEL)."""
        if level is None:
            return self.levels[0]
        if level not in self.levels:
            raise VimaError(
                "UNKNOWN_LEVEL",
                f"{self.name} has no level {level.value!r}; valid: "
                + ", ".join(level.value for level in self.levels),
            )
        return Level(level)

    def _split(self, random: np.random.Generator, level: Level) -> Split:
        """Return the shapes and textures of a level; of generated ones, draw a few."""
        if level == Level.GENERATED:
            return generated_split(random, self.names_textures)
        return split(level, self.has_base)

    @abstractmethod
    def success_criterion(self, episode: TaskEpisode) -> SuccessCriterion:
        """Create the success criterion of an episode of this task."""

    @abstractmethod
    def oracle(self, episode: TaskEpisode, seed: int | None = 0) -> Oracle:
        """Create an oracle for an episode of this task.

        ``seed``: of its random choices of grasp points, as in VIMA-Bench. None: no random choices;
        among equally good actions it takes the one that can be inferred from the images.
        """

    @abstractmethod
    def _draw(
        self, random: np.random.Generator, split: Split, layout: LayoutSampler
    ) -> EpisodeSpec:
        """Draw one episode; on VimaError (NO_ROOM) ``sample`` draws again."""
