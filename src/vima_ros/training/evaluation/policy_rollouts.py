"""Success rates of a policy: episodes of a simulator, processed as the nodes do."""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from vima_ros.arm.primitives import plan_waypoints
from vima_ros.episode.history_rule import apply_arm_report
from vima_ros.episode.state_machine import EpisodeStateMachine
from vima_ros.episode.values import ArmReport, TaskStatusOutcome
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose
from vima_ros.perception.detectors.base import Detector, DetectorSettings
from vima_ros.perception.detectors.registry import make_detector
from vima_ros.perception.pipeline import PerceptionPipeline
from vima_ros.perception.tracking.tracker import Tracker, TrackerSettings
from vima_ros.perception.view_images import view_images
from vima_ros.policy.tokenizer import PromptTokenizer
from vima_ros.prompt.assembly import assemble
from vima_ros.prompt.image_encoding import DETECTORS, PromptImageEncoder
from vima_ros.sim.episode_runner import EpisodeRunner, find_level, with_random_appearance
from vima_ros.sim.process_pool import worker_pool
from vima_ros.sim.prompt_variations import PromptVariation, vary
from vima_ros.sim.rendering.prompt_renderer import RenderedView, render_prompt_images
from vima_ros.sim.tasks import find_task
from vima_ros.sim.tasks.base import Asset, TaskOutcome
from vima_ros.sim.vima_bench.runner import VimaBenchRunner
from vima_ros.specs import VIEWS, AssetKind, EncodedPrompt, Observation, PromptImage, ViewObjects

if TYPE_CHECKING:
    from vima_ros.policy.policy import Policy

MAX_STEPS, MAX_FAILURES = 10, 3  # as config/policy.yaml has them; some tasks allow fewer steps
VIMA_BENCH_MAX_STEPS = 16  # as config/robots/vima_bench.yaml: of sweep_without_touching
VERDICTS = {
    TaskOutcome.RUNNING: TaskStatusOutcome.RUNNING,
    TaskOutcome.SUCCESS: TaskStatusOutcome.SUCCESS,
    TaskOutcome.FAILURE: TaskStatusOutcome.FAILURE,
}
Runner = EpisodeRunner | VimaBenchRunner
NO_DETECTOR = "none"  # where the policy reads whole images
CONFIDENCE = 1.96  # standard deviations: of the 95 % interval


@dataclass(frozen=True)
class Job:
    """An episode to run; ``detector`` of the cameras, ground_truth_masks also for the prompt.

    NO_DETECTOR for a policy that reads whole images. ``variation``: of its prompt, and with
    SWAPPED_MEANING of its success criterion. ``pick``: as of ``load_policy``. ``sim``: tabletop,
    or vima_bench, which has neither randomization nor variations.
    """

    task: str
    level: str
    seed: int
    checkpoint: str
    detector: str = "onnx"
    visual_randomization: float = 0.0
    variation: PromptVariation = PromptVariation.AS_WRITTEN
    pick: str = ""
    sim: str = "tabletop"


@dataclass(frozen=True, eq=False)
class Attempt:
    """Result of an episode: ``code`` as in EpisodeStatus, or of perception or policy.

    ``steps``: decisions made, ``seconds`` in all; ``image``: RGB, what both cameras saw at the
    end.
    """

    job: Job
    code: str
    reason: str
    steps: int
    seconds: float
    image: np.ndarray | None = None

    @property
    def success(self) -> bool:
        """True if the task was solved."""
        return self.code == "SUCCESS"


@dataclass(frozen=True)
class Rate:
    """Success rate: ``successes`` of ``episodes``."""

    successes: int
    episodes: int

    @property
    def share(self) -> float:
        """Success rate, 0 to 1."""
        return self.successes / self.episodes

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the success rate (JASA 22, 1927)."""
        n, p, z = self.episodes, self.share, CONFIDENCE
        middle = p + z * z / (2 * n)
        half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def rate(attempts: Sequence[Attempt]) -> Rate:
    """Compute the success rate of one or more attempts."""
    return Rate(sum(a.success for a in attempts), len(attempts))


def attempt_all(jobs: Sequence[Job], workers: int) -> Iterator[Attempt]:
    """Yield attempts as they end. Raises VimaError as ``load_policy`` and NO_RENDERER."""
    with worker_pool(workers) as pool:
        for future in as_completed([pool.submit(attempt, job) for job in jobs]):
            yield future.result()


def attempt(job: Job) -> Attempt:
    """Run one episode."""
    cv2.setNumThreads(1)
    began = time.perf_counter()
    policy, encode, detector = load_tools(job.checkpoint, job.detector, job.pick)
    whole = policy.inputs.observation == "images"
    observe = _observe_images if whole else _ObjectObserver(detector)
    max_steps = MAX_STEPS if job.sim == "tabletop" else VIMA_BENCH_MAX_STEPS
    try:
        opened = open_episode(job)
    except VimaError as error:
        if error.code not in ("SIMULATOR_DIED", "SIMULATOR_FAILED"):
            raise
        return Attempt(job, error.code, str(error), 0, time.perf_counter() - began)
    with opened as run:
        machine = EpisodeStateMachine()
        machine.on_task_report(run.episode.prompt, VERDICTS[run.result.outcome], "")
        machine = machine.begin("evaluation", run.episode.prompt, max_steps, MAX_FAILURES)
        try:
            true_masks = job.detector == "ground_truth_masks"
            policy.reset(encode_prompt(run, encode, true_masks, whole))
            _follow(machine, run, policy, observe)
        except VimaError as error:
            machine.end(error.code, str(error))
        image = np.vstack([run.render(view) for view in VIEWS])
        seconds = time.perf_counter() - began
        kept = None if machine.code == "SUCCESS" else image
        return Attempt(job, machine.code, machine.message, machine.step, seconds, kept)


def open_episode(job: Job) -> AbstractContextManager[Any]:
    """Begin the episode of a job: a context manager that gives its runner.

    Raises VimaError as the tasks' ``sample``, or ``VimaBenchRunner.load``.
    """
    if job.sim == "vima_bench":
        runner = vima_bench_runner()
        runner.load(job.task, job.level, job.seed)
        return nullcontext(runner)  # its process is for all episodes of this one
    episode = vary(find_task(job.task).sample(job.seed, find_level(job.level)), job.variation)
    return EpisodeRunner(with_random_appearance(episode, job.visual_randomization))


@lru_cache
def vima_bench_runner() -> VimaBenchRunner:
    """Return the runner of this process, whose simulator ends with it."""
    runner = VimaBenchRunner()
    atexit.register(runner.close)
    return runner


class _PolicyFrame:
    """Identity view: the simulated cameras' images are the policy's frame already."""

    def apply(self, image: np.ndarray, is_mask: bool = False) -> np.ndarray:
        return image


class _ObjectObserver:
    """Observes the objects as the perception node does."""

    def __init__(self, detector: Detector) -> None:
        self._needs_mask = detector.needs_mask
        self._pipeline = PerceptionPipeline(
            detector,
            {view: _PolicyFrame() for view in VIEWS},
            None if detector.has_stable_ids else Tracker(TrackerSettings()),
        )

    def __call__(self, run: Runner, stamp: int) -> Observation:
        """Observe at ``stamp`` [ns]. Raises VimaError as the pipeline refuses."""
        images = {view: run.render(view) for view in VIEWS}
        masks = {v: run.render_mask(v) for v in VIEWS} if self._needs_mask else None
        perceived = self._pipeline.process(images, masks, dict.fromkeys(VIEWS, stamp), stamp)
        if perceived.observation is None:
            raise VimaError(perceived.code, perceived.message)
        return perceived.observation


def _observe_images(run: Runner, stamp: int) -> Observation:
    """Observe both views whole."""
    images = view_images({view: run.render(view) for view in VIEWS})
    return Observation(ViewObjects.empty(), ViewObjects.empty(), stamp=stamp, images=images)


@lru_cache(maxsize=2)
def load_tools(checkpoint: str, detector: str, pick: str = "") -> tuple:
    """Load policy, tokenizer and detector once per process, which may use one core."""
    import torch

    torch.set_num_threads(1)
    from vima_ros.policy.checkpoints.load import load_policy  # importing torch takes seconds

    policy = load_policy(Path(checkpoint), pick=pick)
    made = (
        None if detector == NO_DETECTOR else make_detector(detector, DetectorSettings(threads=1))
    )
    tokenizer = PromptTokenizer()
    policy.check_tokenizer(tokenizer.identity)
    return policy, tokenizer.encode, made


def _follow(
    machine: EpisodeStateMachine,
    run: Runner,
    policy: Policy,
    observe: Callable[[Runner, int], Observation],
) -> None:
    """Observe, decide and act until the episode ends. Raises VimaError.

    ``machine`` decides, as in the nodes, what is recorded and how the episode ends; the task's
    reports are the tabletop's.
    """
    while machine.running:
        command_id, stamp = str(machine.step), (machine.step + 1) * 1_000_000_000
        effector = run.end_effector
        decision = policy.infer(replace(observe(run, stamp), end_effector=effector))
        machine.on_decision(command_id, stamp)
        poses = decision.action.poses(run.workspace)
        report, code, message = _carry_out(run, *poses)
        apply_arm_report(machine, policy, decision, report, code, message, command_id, stamp)
        if report != ArmReport.REFUSED:
            verdict = run.result.at_step(run.steps, run.episode.step_limit)
            outcome = VERDICTS[verdict.outcome]
            machine.on_task_report(run.episode.prompt, outcome, verdict.reason, command_id)


def _carry_out(run: Runner, pose0: Pose, pose1: Pose) -> tuple[ArmReport, str, str]:
    """Execute an action as the arm would; one that means no motion is refused, as by the gate."""
    try:
        plan_waypoints(run.primitive, pose0, pose1, run.workspace)
    except VimaError as error:
        return ArmReport.REFUSED, error.code, str(error)
    run.step(pose0, pose1)
    if run.code:
        return ArmReport.ABORTED, run.code, run.message
    return ArmReport.SUCCEEDED, "OK", ""


def encode_prompt(
    run: Runner, encode: object, true_masks: bool, whole: bool = False
) -> EncodedPrompt:
    """Encode the episode's prompt, each image as ``encode_asset`` does."""
    images = {
        name: _encode(name, kind, views, true_masks, whole)
        for name, (kind, views) in run.prompt_images().items()
    }
    return assemble(run.episode.prompt, images, encode)  # type: ignore[arg-type]


def encode_asset(name: str, asset: Asset, true_masks: bool) -> PromptImage:
    """Encode the objects of one image of a prompt as the prompt node does.

    ``true_masks``: those of the renderer's masks, not those of the detectors.
    """
    views = render_prompt_images(asset.scene, asset.kind)
    return _encode(name, asset.kind, views, true_masks, whole=False)


def _encode(
    name: str,
    kind: AssetKind,
    images: Mapping[str, RenderedView],
    true_masks: bool,
    whole: bool,
) -> PromptImage:
    views = {view: (i.rgb, i.mask if true_masks else None) for view, i in images.items()}
    return _image_encoder(whole).encode(name, kind, views)


@lru_cache
def _image_encoder(whole: bool) -> PromptImageEncoder:
    """Make the encoder with the detectors of config/prompt.yaml."""
    settings = DetectorSettings(threads=1)
    detectors = {kind: make_detector(name, settings) for kind, name in DETECTORS.items()}
    return PromptImageEncoder(detectors, whole_images=whole)
