"""Parameters of the policy node."""

from __future__ import annotations

from dataclasses import dataclass

from vima_ros.nodes.common.cell_parameters import WorkspaceParameters
from vima_ros.nodes.common.parameters import parameter
from vima_ros.policy.action_selection import PICKS
from vima_ros.policy.config import DTYPES
from vima_ros.specs import EndEffector


@dataclass(frozen=True)
class PolicyParameters(WorkspaceParameters):
    """Parameters of the policy node; their values are in config/policy.yaml."""

    checkpoint: str = parameter(
        "Checkpoint file of the policy; empty: the bundled one; gpt, gato, flamingo: the bundled "
        "one of that conditioning; random: untrained weights",
        read_only=True,
        path=True,
    )
    device: str = parameter("Torch device of the policy: cpu, cuda, cuda:1 …", read_only=True)
    dtype: str = parameter(
        "Data type of the policy's computation; int8 on a cpu only",
        choices=DTYPES,
        read_only=True,
    )
    threads: int = parameter(
        "Number of CPU threads of the policy; 1 for a small network that shares the processor, "
        "more for a large one",
        low=1,
        high=64,
        read_only=True,
    )
    pick: str = parameter(
        "Choice of the pick: bins, the most probable ones, or grounded, the most probable inside "
        "the outline of an object; empty: as the checkpoint's card states, else bins",
        choices=("", *PICKS),
        read_only=True,
    )
    vit_heads: int = parameter(
        "Number of attention heads of the checkpoint's vision transformer; 0: as in the file, "
        "else the published 24",
        low=0,
        high=1024,
        read_only=True,
    )
    max_steps: int = parameter("Maximum number of decisions of an episode", low=1, high=500)
    max_failures: int = parameter(
        "Number of consecutive decisions, refused by the gate or aborted by the arm (other than "
        "by NOT_PICKED), at which an episode ends",
        low=1,
        high=500,
    )
    max_age: float = parameter("Maximum age of an observation to decide on [s]", low=0.05, high=60)
    observation_timeout: float = parameter(
        "Time without a usable observation after which an episode ends; 0: never [s]",
        low=0,
        high=3600,
    )
    pause_timeout: float = parameter(
        "Time after which an episode whose arm is stopped and not resumed ends; 0: never [s]",
        low=0,
        high=86400,
    )
    response_timeout: float = parameter(
        "Time within which the arm node and the prompt node have to respond [s]", low=0.5, high=60
    )
    task_status_timeout: float = parameter(
        "Time after a motion within which a task, where there is one, has to publish its status "
        "[s]",
        low=0,
        high=60,
    )
    publish_attention: bool = parameter(
        "Publication of what each decision attended to, on attention; a decision takes a few "
        "percent longer"
    )
    node_timeout: float = parameter(
        "Silence of the arm, perception or manager node after which an episode ends [s]",
        low=0.3,
        high=60,
        read_only=True,
    )
    default_end_effector: str = parameter(
        "End effector assumed until arm_state reports one; empty: wait for arm_state",
        choices=("", *(e.name.lower() for e in EndEffector)),
        read_only=True,
    )
