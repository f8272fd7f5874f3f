"""What a task is: an episode to start from, a judge that says how it goes, an oracle that acts.

Everything a task hands out follows from (task, level, seed) alone, in any process.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, quaternion_from_yaw
from vima_ros.sim.scene import Scene
from vima_ros.sim.tasks.splits import Level, Split, split
from vima_ros.specs import AssetKind, EndEffector

_ATTEMPTS = 100


class TaskOutcome(str, Enum):
    """How an episode stands."""

    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True)
class TaskResult:
    """The judge's word; ``reason`` says why it is no longer, or not yet, a success."""

    outcome: TaskOutcome
    reason: str = ""

    def at_step(self, step: int, limit: int) -> TaskResult:
        """The verdict after ``step`` commands: a task not solved in ``limit`` is a FAILURE."""
        if self.outcome != TaskOutcome.RUNNING or step < limit:
            return self
        return TaskResult(
            TaskOutcome.FAILURE, f"not solved in {limit} steps; {self.reason}".strip("; ")
        )


@dataclass(frozen=True)
class Asset:
    """A picture of the prompt. For an OBJECT the scene holds that one object, for a SCENE all."""

    kind: AssetKind
    scene: Scene


@dataclass(frozen=True)
class TaskEpisode:
    """The start of an episode, as values.

    ``prompt`` names its pictures as {placeholder}; ``assets`` has them by that name in the order
    of the text, each once. ``step_limit``: actions until it is given up (VIMA-Bench's
    oracle_max_steps). ``goal``: what the task's judge and oracle aim at, a frozen dataclass.
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
    """Where everything truly is: the pose of each object's frame by name, table frame."""

    poses: Mapping[str, Pose]
    scene: Scene

    @staticmethod
    def at_start(scene: Scene) -> WorldState:
        """As the scene has it."""
        poses = {
            item.name: Pose(
                np.array([*item.position_xy, item.base_height + item.scaled_shape.rest_height]),
                quaternion_from_yaw(item.yaw),
            )
            for item in scene.objects
        }
        return WorldState(poses, scene)


class SuccessCriterion(ABC):
    """Follows one episode. Once it says SUCCESS or FAILURE it stays with that."""

    def __init__(self) -> None:
        self._result = TaskResult(TaskOutcome.RUNNING)

    @property
    def result(self) -> TaskResult:
        """What ``update`` said last."""
        return self._result

    def update(self, world: WorldState) -> TaskResult:
        """To be called once after every action, when all is at rest."""
        if self._result.outcome == TaskOutcome.RUNNING:
            self._result = self._evaluate(world)
        return self._result

    def monitor(self, world: WorldState) -> None:  # noqa: B027 (most judges look at the end only)
        """To be called several times a second during motions."""

    @abstractmethod
    def _evaluate(self, world: WorldState) -> TaskResult: ...


class Oracle(ABC):
    """Knows the goal and the true poses; may remember what it did."""

    @abstractmethod
    def act(self, world: WorldState) -> tuple[Pose, Pose] | None:
        """pose0 and pose1 of the next action, table frame, z = 0; None: nothing left to do."""


@dataclass(frozen=True)
class EpisodeSpec:
    """What a task draws: the parts of an episode that are its own."""

    scene: Scene
    prompt: str
    assets: Mapping[str, Asset]
    goal: Any


class Task(ABC):
    """One of the benchmark's tasks; it has no state.

    ``templates``: the forms of its prompt, with {picture} and <word> where those are filled in.
    ``has_base``: whether something is put into a base. ``levels``: those it exists for.
    """

    name: ClassVar[str]
    templates: ClassVar[tuple[str, ...]]
    has_base: ClassVar[bool] = True
    step_limit: ClassVar[int]
    end_effector: ClassVar[EndEffector] = EndEffector.SUCTION
    levels: ClassVar[tuple[Level, ...]] = (
        Level.TRAIN,
        Level.PLACEMENT,
        Level.COMBINATORIAL,
        Level.NOVEL_OBJECT,
    )

    @property
    def template(self) -> str:
        """The first form of the prompt."""
        return self.templates[0]

    def sample(self, seed: int, level: Level | None = None) -> TaskEpisode:
        """The episode of a seed (0 or more); ``level`` None is the first of ``levels``.

        Raises VimaError: UNKNOWN_LEVEL, INVALID_VALUE (seed), NO_ROOM (does not happen with the
        sizes of the registry).
        """
        level = self.check_level(level)
        if seed < 0:
            raise VimaError("INVALID_VALUE", f"seed {seed}; valid: 0 or more")
        stream = [zlib.crc32(self.name.encode()), list(Level).index(level), seed]
        random = np.random.default_rng(stream)
        for _ in range(_ATTEMPTS):
            try:
                draft = self._draw(random, split(level, self.has_base))
            except VimaError as error:
                if error.code != "NO_ROOM":
                    raise
                continue
            parts = (draft.scene, draft.prompt, draft.assets, self.step_limit, draft.goal)
            return TaskEpisode(self.name, level, seed, *parts)
        raise VimaError(
            "NO_ROOM",
            f"{self.name} with seed {seed} found no layout in {_ATTEMPTS} attempts; "
            "valid: another seed",
        )

    def check_level(self, level: Level | None) -> Level:
        """``level``, or the first one for None; VimaError (UNKNOWN_LEVEL) if it has it not."""
        if level is None:
            return self.levels[0]
        if level not in self.levels:
            raise VimaError(
                "UNKNOWN_LEVEL",
                f"{self.name} has no level {level!r}; valid: "
                + ", ".join(level.value for level in self.levels),
            )
        return Level(level)

    @abstractmethod
    def success_criterion(self, episode: TaskEpisode) -> SuccessCriterion:
        """A new judge for an episode of this task."""

    @abstractmethod
    def oracle(self, episode: TaskEpisode, seed: int | None = 0) -> Oracle:
        """A new oracle for an episode of this task.

        ``seed`` draws where it picks, as VIMA-Bench's do. None: it draws nothing, and does of
        several equally good things always the one that can be told from what is seen.
        """

    @abstractmethod
    def _draw(self, random: np.random.Generator, split: Split) -> EpisodeSpec:
        """One episode; VimaError (NO_ROOM) makes ``sample`` draw again."""
