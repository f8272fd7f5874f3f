"""The tabletop as a gymnasium environment, "vima_ros/Tabletop-v0".

    import gymnasium
    import vima_ros.sim.gym_env

    env = gymnasium.make("vima_ros/Tabletop-v0", task="rotate")
    observation, info = env.reset(seed=7)  # the episode that seed 7 always is
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())

Actions, by ``binned``: MultiDiscrete (12,) as ``specs.Action.bins``, or Box (12,) from 0 to 1 as
``specs.Action.fractions`` but not rounded: x and y as parts of the workspace, quaternion
components q as (q + 1) / 2. An action that cannot be carried out costs a step; info tells.

Observations, a dictionary by ``images``:
"rgb":   rgb {view: uint8 (128, 256, 3)}, segm {view: uint8 (128, 256)}, end_effector 0 or 1;
"masks": without rgb;   "none": end_effector only, and nothing is rendered.
A pixel of segm is 0 or an object's place in ``info["objects"]`` + 1.

info: task, level, seed, prompt (text), step_limit, objects (names); steps, success, failure,
reason (the judge's), code and message (why the last action was not carried out, or empty) and,
privileged, poses (K, 7) x, y, z [m], quaternion xyzw. After reset also prompt_assets, unless
images is "none": {placeholder: {kind: "object" or "scene", rgb: {view: …}, segm: {view: …}}}.

reward is 1 on success, else 0; terminated on success or failure, truncated at the step limit.

Several at once, each in a process of its own:

    if __name__ == "__main__":  # spawned processes import this file
        environments = gymnasium.make_vec(
            "vima_ros/Tabletop-v0", 4, vectorization_mode="async",
            vector_kwargs={"context": "spawn"}, task="rotate",
        )

OpenGL does not survive a fork: in a process forked from one that has rendered, whatever forked it
(AsyncVectorEnv without a context, multiprocessing, a DataLoader's workers), ``reset``, ``step``
and ``render`` raise VimaError (FORKED). Spawned processes, forkserver, ``images="none"``, and a
fork before anything is rendered, work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Workspace
from vima_ros.sim.episode_runner import (
    EpisodeRunner,
    choose_tasks,
    find_level,
    with_random_appearance,
)
from vima_ros.sim.rendering.prompt_renderer import render_prompt_images
from vima_ros.sim.scene import MAX_SEED
from vima_ros.sim.tasks.base import Asset, Oracle, TaskOutcome
from vima_ros.specs import (
    BINS,
    POLICY_FRAME_HEIGHT,
    POLICY_FRAME_WIDTH,
    VIEWS,
    Action,
    EndEffector,
)

try:
    import gymnasium
except ModuleNotFoundError as error:
    raise VimaError("NOT_INSTALLED", f"{error}; pip install gymnasium==1.4.0") from error

ENVIRONMENT = "vima_ros/Tabletop-v0"
IMAGES = ("rgb", "masks", "none")


class TabletopEnv(gymnasium.Env):
    """Any of the tasks; see above.

    ``task``: a name, or several of which each reset draws one; default: all that have ``level``.
    ``level``: its value; None is each task's first. ``look``: strength of the random look, 0 to 1.
    Use it in one thread and one process. Raises VimaError: UNKNOWN_TASK, UNKNOWN_LEVEL,
    INVALID_VALUE; from ``reset`` on NO_RENDERER, FORKED (see above).
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 1}  # noqa: RUF012 (gymnasium's name)

    def __init__(
        self,
        task: str | Sequence[str] | None = None,
        level: str | None = None,
        *,
        binned: bool = True,
        images: str = "rgb",
        visual_randomization: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        if images not in IMAGES:
            raise VimaError("INVALID_VALUE", f"images {images!r}; valid: {IMAGES}")
        choose_tasks(task, find_level(level))
        self._default = {"task": task, "level": level}
        self._binned, self._images = binned, images
        self._visual_randomization = visual_randomization
        self.render_mode = render_mode
        self.action_space, self.observation_space = _spaces(binned, images)
        self._now: EpisodeRunner | None = None
        self._oracle: Oracle | None = None

    @property
    def run(self) -> EpisodeRunner:
        """The episode under way, with all that is hidden from a policy."""
        if self._now is None:
            raise VimaError("NOT_RESET", "no episode yet; valid: after reset")
        return self._now

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The episode of ``seed``; None: of a seed drawn from those before.

        ``options``: task and level, as in the constructor, for this episode.
        """
        super().reset(seed=seed)
        unknown = set(options or {}) - set(self._default)
        if unknown:
            raise VimaError("INVALID_VALUE", f"options {unknown}; valid: {set(self._default)}")
        wanted = self._default | (options or {})
        level = find_level(wanted["level"])
        tasks = choose_tasks(wanted["task"], level)
        task = tasks[self.np_random.integers(len(tasks))]
        drawn = int(self.np_random.integers(MAX_SEED + 1))
        episode = task.sample(drawn if seed is None else seed, level)
        self.close()
        self._now, self._oracle = (
            EpisodeRunner(with_random_appearance(episode, self._visual_randomization)),
            None,
        )
        info = self._info()
        if self._images != "none":
            info["prompt_assets"] = self.prompt_assets()
        return self._observation(), info

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Carry out an action. Raises VimaError: INVALID_VALUE for no such, EPISODE_OVER."""
        verdict = self.run.step(*self._poses(action))
        success = verdict.outcome == TaskOutcome.SUCCESS
        ended = verdict.outcome != TaskOutcome.RUNNING
        return self._observation(), float(success), ended, self.run.truncated, self._info()

    def oracle_action(self) -> np.ndarray | None:
        """What the task's oracle would do now, an action; None when it sees nothing to do."""
        if self._oracle is None:
            self._oracle = self.run.task.oracle(self.run.episode, self.run.episode.seed)
        poses = self._oracle.act(self.run.world_state())
        return None if poses is None else self.action_of(*poses)

    def action_of(self, pose0: Pose, pose1: Pose) -> np.ndarray:
        """The action of two poses in the table frame, inside the workspace."""
        if self._binned:
            return Action.from_poses(pose0, pose1, Workspace()).bins.copy()
        return _fractions(pose0, pose1)

    def prompt_assets(self) -> dict[str, dict[str, Any]]:
        """The images of the prompt, as in info."""
        return {name: _asset(asset) for name, asset in self.run.episode.assets.items()}

    def render(self) -> np.ndarray | None:
        """The scene for people, (480, 640, 3) uint8 RGB, with ``render_mode`` "rgb_array"."""
        return self.run.tabletop.render_overview() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Free what the images needed; ``reset`` may follow."""
        if self._now is not None:
            self._now.close()
            self._now = None

    def _poses(self, action: np.ndarray) -> tuple[Pose, Pose]:
        return Action(action).poses(Workspace()) if self._binned else _poses(action)

    def _observation(self) -> dict[str, Any]:
        tabletop = self.run.tabletop
        seen: dict[str, Any] = {"end_effector": int(tabletop.scene.end_effector)}
        if self._images != "none":
            seen["segm"] = {view: tabletop.render_mask(view) for view in VIEWS}
        if self._images == "rgb":
            seen["rgb"] = {view: tabletop.render(view) for view in VIEWS}
        return seen

    def _info(self) -> dict[str, Any]:
        run = self.run
        episode, verdict = run.episode, run.result
        return {
            "task": episode.task,
            "level": episode.level.value,
            "seed": episode.seed,
            "prompt": episode.prompt,
            "step_limit": episode.step_limit,
            "objects": tuple(item.name for item in episode.scene.objects),
            "steps": run.steps,
            "success": verdict.outcome == TaskOutcome.SUCCESS,
            "failure": verdict.outcome == TaskOutcome.FAILURE,
            "reason": verdict.reason,
            "code": run.code,
            "message": run.message,
            "poses": run.object_poses(),
        }


def _spaces(binned: bool, images: str) -> tuple[gymnasium.Space, gymnasium.Space]:
    """Of actions and observations."""
    spaces = gymnasium.spaces
    frame = (POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH)

    def views(*shape: int) -> gymnasium.Space:
        return spaces.Dict({view: spaces.Box(0, 255, shape, np.uint8) for view in VIEWS})

    seen: dict[str, Any] = {"end_effector": spaces.Discrete(len(EndEffector))}
    if images != "none":
        seen["segm"] = views(*frame)
    if images == "rgb":
        seen["rgb"] = views(*frame, 3)
    actions = spaces.MultiDiscrete(BINS) if binned else spaces.Box(0.0, 1.0, BINS.shape)
    return actions, spaces.Dict(seen)


def _fractions(pose0: Pose, pose1: Pose) -> np.ndarray:
    """(12,) float32, as ``specs.Action.fractions`` before they are rounded to bins."""
    low, high = np.array(Workspace().low), np.array(Workspace().high)
    parts = []
    for pose in (pose0, pose1):
        parts += [(pose.position[:2] - low) / (high - low), (pose.quaternion + 1.0) / 2.0]
    return np.concatenate(parts).astype(np.float32)


def _poses(fractions: np.ndarray) -> tuple[Pose, Pose]:
    """The other way; z = 0."""
    values = np.asarray(fractions, np.float64)
    if values.shape != BINS.shape or not ((values >= 0.0) & (values <= 1.0)).all():
        raise VimaError(
            "INVALID_VALUE", f"action {values.tolist()}; valid: {BINS.shape} numbers from 0 to 1"
        )
    low, high = np.array(Workspace().low), np.array(Workspace().high)
    pose0, pose1 = (
        Pose(np.append(low + part[:2] * (high - low), 0.0), 2.0 * part[2:] - 1.0)
        for part in values.reshape(2, 6)
    )
    return pose0, pose1


def _asset(asset: Asset) -> dict[str, Any]:
    images = render_prompt_images(asset.scene, asset.kind)
    return {
        "kind": asset.kind.name.lower(),
        "rgb": {view: picture.rgb for view, picture in images.items()},
        "segm": {view: picture.mask for view, picture in images.items()},
    }


gymnasium.register(ENVIRONMENT, entry_point=f"{__name__}:{TabletopEnv.__name__}")
