"""First actions on recorded VIMA-Bench episodes, compared with the oracle's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vima_ros.policy.policy import Policy
from vima_ros.policy.tokenizer import PromptTokenizer
from vima_ros.specs import EndEffector
from vima_ros.training.data.demonstration import Demonstration, first_observation
from vima_ros.training.policy.training_episode import POSITION_COLUMNS

NEAR = 0.04  # as VIMA-Bench's success criteria have it for "at the same place" [m]


@dataclass(frozen=True)
class FirstAction:
    """Distances of both positions of an episode's first action to the oracle's [m].

    ``right_object``: what stands nearest to the first position is what the oracle picked; None
    for a sweep.
    """

    task: str
    level: str
    distances: tuple[float, float]
    right_object: bool | None

    @property
    def near(self) -> tuple[bool, bool]:
        """True where within ``NEAR``."""
        return self.distances[0] <= NEAR, self.distances[1] <= NEAR


def first_actions(
    policy: Policy, demonstrations: Iterable[Demonstration]
) -> Iterable[FirstAction]:
    """Infer the first action of each demonstration. Raises VimaError as ``Policy``."""
    tokenizer = PromptTokenizer()
    policy.check_tokenizer(tokenizer.identity)
    for demonstration in demonstrations:
        policy.reset(demonstration.prompt(tokenizer.encode))
        observation = first_observation(demonstration)
        poses = policy.infer(observation).action.poses(demonstration.workspace)
        chosen = np.array([pose.position[:2] for pose in poses])  # (2, 2)
        wanted = demonstration.unrounded[0, POSITION_COLUMNS].reshape(2, 2)
        right = None
        if observation.end_effector == EndEffector.SUCTION:
            places = demonstration.object_poses[0, :, :2]
            nearest = [
                int(np.linalg.norm(places - p, axis=1).argmin()) for p in (chosen[0], wanted[0])
            ]
            right = nearest[0] == nearest[1]
        first, second = np.linalg.norm(chosen - wanted, axis=1).tolist()
        yield FirstAction(demonstration.task, demonstration.level, (first, second), right)
