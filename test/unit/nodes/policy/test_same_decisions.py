"""The policy decides on an observation alike in evaluation's loop and in the policy node."""

import numpy as np
import pytest

pytest.importorskip("vima_msgs.msg", reason="vima_msgs is not built")

from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from vima_msgs import msg
from vima_ros.nodes.common.conversions import observation_from_message, observation_to_message
from vima_ros.policy import BUNDLED
from vima_ros.specs import VIEWS, EndEffector
from vima_ros.training.evaluation import policy_rollouts
from vima_ros.training.evaluation.policy_rollouts import Job, attempt, load_tools


class Recorded:
    """A policy and the calls that evaluation makes of it."""

    def __init__(self, policy):
        self.policy, self.inputs = policy.session(), policy.inputs
        self.prompt, self.decided = None, []

    def reset(self, prompt):
        self.prompt, self.decided = prompt, []
        self.policy.reset(prompt)

    def infer(self, observation):
        decision = self.policy.infer(observation)
        self.decided.append([observation, decision, ""])
        return decision

    def record(self, decision):
        self.decided[-1][2] = "record"
        self.policy.record(decision)

    def miss(self, decision):
        self.decided[-1][2] = "miss"
        self.policy.miss(decision)


def sent(observation):
    """The observation as the policy node gets it."""
    message = observation_to_message(observation, dict.fromkeys(VIEWS, Header()))
    received = deserialize_message(serialize_message(message), msg.Observation)
    return observation_from_message(received, observation.end_effector)


@pytest.mark.slow
@pytest.mark.parametrize(
    "task", ["rearrange", "pick_in_order_then_restore", "sweep_without_exceeding"]
)
@pytest.mark.parametrize("pick", ["bins", "grounded"])
def test_the_node_decides_as_the_loop_on_the_same_observations(task, pick, monkeypatch):
    policy, encode, detector = load_tools(str(BUNDLED), "onnx", pick)
    loop, node = Recorded(policy), policy.session()
    monkeypatch.setattr(policy_rollouts, "load_tools", lambda *_: (loop, encode, detector))
    attempt(Job(task, "train", 2_000_003, "", "onnx"))
    node.reset(loop.prompt)
    assert loop.decided
    for observation, wanted, after in loop.decided:
        assert observation.top.has_outlines
        got = node.infer(sent(observation))
        np.testing.assert_array_equal(got.action.bins, wanted.action.bins)
        assert got.picked == wanted.picked
        suction = observation.end_effector is EndEffector.SUCTION
        assert (got.picked is not None) == (pick == "grounded" and suction)
        if after:
            getattr(node, after)(got)
