"""Gymnasium environment "vima_ros/Tabletop-v0": the tasks of the simulated tabletop.

    import gymnasium
    import vima_ros.sim.gym_env

    env = gymnasium.make("vima_ros/Tabletop-v0", task="rotate")
    observation, info = env.reset(seed=7)  # always the same episode for seed 7
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())

Actions, by ``binned``: MultiDiscrete (12,) as ``specs.Action.bins``, or Box (12,) from 0 to 1 as
``specs.Action.fractions`` but not rounded: x and y as fractions of the workspace, quaternion
components q as (q + 1) / 2. An action that cannot be executed counts as a step; see info.

Observations, a dictionary by ``images``:
"rgb":   rgb {view: uint8 (128, 256, 3)}, segm {view: uint8 (128, 256)}, end_effector 0 or 1;
"masks": without rgb;   "none": end_effector only, and nothing is rendered.
A pixel of segm is 0 or the index of an object in ``info["objects"]`` + 1. ``PerceptionPipeline``
makes of rgb, and of segm as masks, what a policy reads of objects, with their outlines; a policy
that reads whole images gets ``perception.view_images.view_images`` of rgb.

info: task, level, seed, prompt (text), step_limit, objects (names); steps, success, failure,
reason (of the success criterion), code and message (why the last action failed, or empty) and,
privileged, poses (K, 7) x, y, z [m], quaternion xyzw. After reset also prompt_assets, unless
images is "none": {placeholder: {kind: "object" or "scene", rgb: {view: …}, segm: {view: …}}}.

reward is 1 on success, else 0; terminated on success or failure, truncated at the step limit.

Several in parallel, each in a process of its own:

    if __name__ == "__main__":  # spawned processes import this file
        environments = gymnasium.make_vec(
            "vima_ros/Tabletop-v0", 4, vectorization_mode="async",
            vector_kwargs={"context": "spawn"}, task="rotate",
        )

OpenGL does not survive a fork: in a process forked from one that has rendered, by any means
(AsyncVectorEnv without a context, multiprocessing, a DataLoader's workers), ``reset``, ``step``
and ``render`` raise VimaError (FORKED). Spawned processes, forkserver, ``images="none"``, and a
fork before anything is rendered, work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vima_ros.discretization import fractions_to_poses, poses_to_fractions
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Workspace
from vima_ros.policy_frame import VIMA_WORKSPACE
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
    """Environment of one or several tasks; see the module's documentation.

    ``task``: a name, or several of which each reset draws one; default: all that have ``level``.
    ``level``: its value; None is each task's first. ``visual_randomization``: strength of the
    domain randomization, 0 to 1. ``workspace``: what the actions are fractions of and the cameras
    show. Use it in one thread and one process. Raises VimaError:
    UNKNOWN_TASK, UNKNOWN_LEVEL, INVALID_VALUE; from ``reset`` on NO_RENDERER, FORKED (see above).
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
        workspace: Workspace = VIMA_WORKSPACE,
        render_mode: str | None = None,
    ) -> None:
        if images not in IMAGES:
            raise VimaError("INVALID_VALUE", f"images {images!r}; valid: {IMAGES}")
        choose_tasks(task, find_level(level))
        self._default = {"task": task, "level": level}
        self._binned, self._images = binned, images
        self._visual_randomization, self._workspace = visual_randomization, workspace
        self.render_mode = render_mode
        self.action_space, self.observation_space = _spaces(binned, images)
        self._runner: EpisodeRunner | None = None
        self._oracle: Oracle | None = None

    @property
    def runner(self) -> EpisodeRunner:
        """Runner of the current episode, with privileged information."""
        if self._runner is None:
            raise VimaError("NOT_RESET", "no episode yet; valid: after reset")
        return self._runner

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start the episode of ``seed``; None: of a seed drawn from the generator.

        ``options``: task and level, as in the constructor, for this episode.
        """
        super().reset(seed=seed)
        unknown = set(options or {}) - set(self._default)
        if unknown:
            raise VimaError("INVALID_VALUE", f"options {unknown}; valid: {set(self._default)}")
        chosen = self._default | (options or {})
        level = find_level(chosen["level"])
        tasks = choose_tasks(chosen["task"], level)
        task = tasks[self.np_random.integers(len(tasks))]
        drawn = int(self.np_random.integers(MAX_SEED + 1))
        episode = task.sample(drawn if seed is None else seed, level, self._workspace)
        self.close()
        self._runner, self._oracle = (
            EpisodeRunner(with_random_appearance(episode, self._visual_randomization)),
            None,
        )
        info = self._info()
        if self._images != "none":
            info["prompt_assets"] = self.prompt_assets()
        return self._observation(), info

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Execute an action. Raises VimaError: INVALID_VALUE if invalid, EPISODE_OVER."""
        result = self.runner.step(*self._poses(action))
        success = result.outcome == TaskOutcome.SUCCESS
        ended = result.outcome != TaskOutcome.RUNNING
        return self._observation(), float(success), ended, self.runner.truncated, self._info()

    def oracle_action(self) -> np.ndarray | None:
        """Return the next action of the task's oracle, or None if it has none."""
        if self._oracle is None:
            self._oracle = self.runner.task.oracle(self.runner.episode, self.runner.episode.seed)
        poses = self._oracle.act(self.runner.world_state())
        return None if poses is None else self.action_of(*poses)

    def action_of(self, pose0: Pose, pose1: Pose) -> np.ndarray:
        """Convert two poses in the table frame, inside the workspace, into an action."""
        if self._binned:
            return Action.from_poses(pose0, pose1, self._workspace).bins.copy()
        return poses_to_fractions(pose0, pose1, self._workspace).astype(np.float32)

    def prompt_assets(self) -> dict[str, dict[str, Any]]:
        """Return the images of the prompt, as in info."""
        return {name: _asset(asset) for name, asset in self.runner.episode.assets.items()}

    def render(self) -> np.ndarray | None:
        """Render the overview, (480, 640, 3) uint8 RGB, if ``render_mode`` is "rgb_array"."""
        return self.runner.tabletop.render_overview() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Free the rendering resources; ``reset`` may follow."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    def _poses(self, action: np.ndarray) -> tuple[Pose, Pose]:
        if self._binned:
            return Action(action).poses(self._workspace)
        return fractions_to_poses(action, self._workspace)

    def _observation(self) -> dict[str, Any]:
        tabletop = self.runner.tabletop
        observation: dict[str, Any] = {"end_effector": int(tabletop.scene.end_effector)}
        if self._images != "none":
            observation["segm"] = {view: tabletop.render_mask(view) for view in VIEWS}
        if self._images == "rgb":
            observation["rgb"] = {view: tabletop.render(view) for view in VIEWS}
        return observation

    def _info(self) -> dict[str, Any]:
        runner = self.runner
        episode, result = runner.episode, runner.result
        return {
            "task": episode.task,
            "level": episode.level.value,
            "seed": episode.seed,
            "prompt": episode.prompt,
            "step_limit": episode.step_limit,
            "objects": tuple(item.name for item in episode.scene.objects),
            "steps": runner.steps,
            "success": result.outcome == TaskOutcome.SUCCESS,
            "failure": result.outcome == TaskOutcome.FAILURE,
            "reason": result.reason,
            "code": runner.code,
            "message": runner.message,
            "poses": runner.object_poses(),
        }


def _spaces(binned: bool, images: str) -> tuple[gymnasium.Space, gymnasium.Space]:
    """Return the spaces of actions and observations."""
    spaces = gymnasium.spaces
    frame = (POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH)

    def views(*shape: int) -> gymnasium.Space:
        return spaces.Dict({view: spaces.Box(0, 255, shape, np.uint8) for view in VIEWS})

    observations: dict[str, Any] = {"end_effector": spaces.Discrete(len(EndEffector))}
    if images != "none":
        observations["segm"] = views(*frame)
    if images == "rgb":
        observations["rgb"] = views(*frame, 3)
    actions = spaces.MultiDiscrete(BINS) if binned else spaces.Box(0.0, 1.0, BINS.shape)
    return actions, spaces.Dict(observations)


def _asset(asset: Asset) -> dict[str, Any]:
    images = render_prompt_images(asset.scene, asset.kind)
    return {
        "kind": asset.kind.name.lower(),
        "rgb": {view: image.rgb for view, image in images.items()},
        "segm": {view: image.mask for view, image in images.items()},
    }


gymnasium.register(ENVIRONMENT, entry_point=f"{__name__}:{TabletopEnv.__name__}")
