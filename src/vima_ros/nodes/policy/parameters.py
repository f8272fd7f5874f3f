"""Parameters of the policy node."""

from __future__ import annotations

from dataclasses import dataclass

from vima_ros.nodes.common.parameters import parameter
from vima_ros.policy.config import DTYPES
from vima_ros.specs import EndEffector


@dataclass(frozen=True)
class PolicyParameters:
    """Read from config/policy.yaml."""

    checkpoint: str = parameter(
        "file of weights; empty: those that come with vima_ros; random: untrained ones",
        read_only=True,
        path=True,
    )
    device: str = parameter("where torch computes: cpu, cuda, cuda:1 …", read_only=True)
    dtype: str = parameter(
        "what it computes in; int8 on a cpu only", choices=DTYPES, read_only=True
    )
    threads: int = parameter(
        "of the processor; 1 for a small network that shares it, more for a large one",
        low=1,
        high=64,
        read_only=True,
    )
    vit_heads: int = parameter(
        "heads of the checkpoint's vision transformer; 0: as the file says, else the published 24",
        low=0,
        high=1024,
        read_only=True,
    )
    max_steps: int = parameter("decisions an episode may take", low=1, high=500)
    max_failures: int = parameter(
        "number of decisions in a row that the gate refused or the arm aborted (other than by "
        "NOT_PICKED) at which an episode ends",
        low=1,
        high=500,
    )
    max_age: float = parameter("oldest observation to decide on [s]", low=0.05, high=60)
    observation_timeout: float = parameter(
        "an episode without anything to decide on ends after this; 0: never [s]", low=0, high=3600
    )
    pause_timeout: float = parameter(
        "an episode whose arm is stopped ends unless resumed within this; 0: never [s]",
        low=0,
        high=86400,
    )
    answer_timeout: float = parameter(
        "for the arm node, and the prompt node, to answer [s]", low=0.5, high=60
    )
    verdict_timeout: float = parameter(
        "for a task's judge to speak after a motion, where there is one [s]", low=0, high=60
    )
    node_timeout: float = parameter(
        "silence of the arm, perception or manager node that ends an episode [s]",
        low=0.3,
        high=60,
        read_only=True,
    )
    default_end_effector: str = parameter(
        "what is mounted, until arm_state says it; empty: wait for arm_state",
        choices=("", *(e.name.lower() for e in EndEffector)),
        read_only=True,
    )
    table_frame: str = parameter("frame of the poses and of the workspace", read_only=True)
    workspace_low: list[float] = parameter(
        "x, y of the workspace's low corner [m]", read_only=True
    )
    workspace_high: list[float] = parameter("x, y of the workspace, high [m]", read_only=True)
