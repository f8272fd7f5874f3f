"""The task server of the tabletop node, and that nodes and the evaluation end an episode alike."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2: run `make test`, which prepares it")
pytest.importorskip("vima_msgs", reason="vima_msgs is not built: run `make test`")

from vima_msgs.msg import ArmState, TaskStatus
from vima_ros.arm.primitives import plan_waypoints
from vima_ros.episode.history_rule import apply_arm_report
from vima_ros.episode.state_machine import EpisodeStateMachine
from vima_ros.episode.values import ArmReport, TaskStatusOutcome
from vima_ros.geometry import Workspace
from vima_ros.nodes.common import conversions
from vima_ros.nodes.tabletop.task_server import TaskServer
from vima_ros.perception.detectors.registry import make_detector
from vima_ros.policy.inputs import OBJECTS
from vima_ros.sim.episode_runner import FAST_MOTION, SETTLE_TIME, task_primitive, world_state
from vima_ros.sim.tabletop import Tabletop
from vima_ros.sim.tasks import find_task
from vima_ros.specs import Action
from vima_ros.training.evaluation import policy_rollouts

NOWHERE = Action(np.array([49, 99, 25, 25, 25, 49] * 2))  # a corner without anything to pick
SECOND = 1_000_000_000
SEED = 2_000_001


class FakeNode:
    """As much of the tabletop node as the task server needs, without ROS."""

    def __init__(self):
        self.now, self.published, self.callbacks = SECOND, [], {}
        self.parameters = SimpleNamespace(send_prompt=False, prompt_masks=False)

    def create_publisher(self, kind, topic, profile):
        def publish(message):
            fields = {
                name: getattr(message, name) for name in message.get_fields_and_field_types()
            }
            self.published.append((topic, kind(**fields)))

        return SimpleNamespace(publish=publish)

    def create_subscription(self, kind, topic, callback, profile):
        self.callbacks[topic] = callback

    def create_service(self, *_):
        pass

    def now_ns(self):
        self.now += SECOND
        return self.now

    def get_clock(self):
        stamp = conversions.ns_to_stamp(self.now_ns())
        return SimpleNamespace(now=lambda: SimpleNamespace(to_msg=lambda: stamp))

    def get_logger(self):
        return SimpleNamespace(info=lambda text: None)

    @property
    def statuses(self):
        return [message for topic, message in self.published if topic == "task_status"]


class Cell:
    """A task on the tabletop, its criterion, and the arm node's report of each motion."""

    def __init__(self, task):
        self.task = find_task(task)
        self.episode = self.task.sample(SEED)
        self.world, self.node = Tabletop(self.episode.scene), FakeNode()
        self.world.advance(SETTLE_TIME)
        self.server = TaskServer(self.node, self.world)
        self.server.start_episode(self.episode)
        self.oracle = self.task.oracle(self.episode)

    def carry_out(self, poses, command_id):
        """Execute an action and publish its end; the last status is then the evaluation of it."""
        kind = task_primitive(self.task)
        self.world.execute(
            plan_waypoints(kind, *poses, Workspace(), FAST_MOTION), self.server.update
        )
        tool = self.world.robot_state
        state = ArmState.ABORTED if tool.code else ArmState.SUCCEEDED
        state_message = ArmState(
            state=state, code=tool.code or "OK", command_id=command_id, judged=True
        )
        state_message.header.stamp = conversions.ns_to_stamp(self.node.now_ns())
        self.node.callbacks["arm_state"](state_message)
        self.server.update()
        return state_message


class Scripted:
    """Picks at nothing ``misses`` times, then acts as the oracle."""

    tokenizer, inputs = None, OBJECTS

    def __init__(self, misses):
        self.misses, self.decide = misses, None
        self.missed = self.recorded = 0

    def reset(self, prompt):
        pass

    def infer(self, observation=None):
        self.misses -= 1
        return SimpleNamespace(action=NOWHERE if self.misses >= 0 else self.decide())

    def record(self, decision):
        self.recorded += 1

    def miss(self, decision):
        self.missed += 1


def through_the_nodes(task, policy, first):
    """Run the episode as policy and tabletop node do; ``first``: the report that comes first."""
    cell = Cell(task)
    policy.decide = lambda: Action.from_poses(
        *cell.oracle.act(world_state(cell.world)), Workspace(), task_primitive(cell.task)
    )

    def take_status(status):
        report = TaskStatusOutcome(status.outcome)
        life.on_task_report(status.prompt, report, status.reason, status.command_id)

    life = EpisodeStateMachine()
    take_status(cell.node.statuses[-1])
    life = life.begin("p", cell.episode.prompt, 10)
    while life.running:
        observed = cell.node.now_ns()
        assert life.accepts_observation(observed, observed, 1.0)
        decision = policy.infer()
        command_id = f"p/{life.step}"
        life.on_decision(command_id, observed)
        state_message = cell.carry_out(decision.action.poses(Workspace()), command_id)
        status = cell.node.statuses[-1]
        stamp = conversions.stamp_to_ns(state_message.header.stamp)
        report = (
            ArmReport(state_message.state),
            state_message.code,
            state_message.message,
            command_id,
            stamp,
        )
        if first == "task":
            take_status(status)
        apply_arm_report(life, policy, decision, *report)
        if first == "arm":
            take_status(status)
    cell.world.close()
    return life


def by_evaluation(task, policy, monkeypatch):
    """The same as `evaluate` has it."""
    tools = policy, lambda text: [1], make_detector("ground_truth_masks")

    def noted(run, encode, true_masks, whole):
        oracle = run.task.oracle(run.episode)
        policy.decide = lambda: Action.from_poses(
            *oracle.act(run.world_state()), Workspace(), run.primitive
        )

    monkeypatch.setattr(policy_rollouts, "load_tools", lambda *_: tools)
    monkeypatch.setattr(policy_rollouts, "encode_prompt", noted)
    return policy_rollouts.attempt(
        policy_rollouts.Job(task, "train", SEED, "", "ground_truth_masks")
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "misses", "code"),
    [
        ("rearrange_then_restore", 99, "TASK_FAILED"),  # 8 steps, more than max_failures
        ("sweep_without_exceeding", 0, "SUCCESS"),
        ("twist", 4, "TASK_FAILED"),  # four picks at nothing, then one step is left
        ("visual_manipulation", 2, "SUCCESS"),
    ],
)
@pytest.mark.parametrize("first", ["arm", "task"])
def test_nodes_and_evaluation_count_and_end_an_episode_alike(
    task, misses, code, first, monkeypatch
):
    ours, theirs = Scripted(misses), Scripted(misses)
    life = through_the_nodes(task, ours, first)
    done = by_evaluation(task, theirs, monkeypatch)
    assert (life.code, life.step, life.message) == (done.code, done.steps, done.reason)
    assert life.code == code
    assert (ours.missed, ours.recorded) == (theirs.missed, theirs.recorded)
    assert life.executed == ours.recorded == life.step - ours.missed


def test_a_status_names_the_command_it_was_evaluated_after():
    cell = Cell("visual_manipulation")
    nowhere = NOWHERE.poses(Workspace())
    assert cell.node.statuses[-1].command_id == ""
    for number in (1, 2, 3):
        cell.carry_out(nowhere, f"c{number}")
        status = cell.node.statuses[-1]
        assert (status.command_id, status.steps) == (f"c{number}", number)
    assert status.outcome == TaskStatus.FAILURE
    cell.server.start_episode(cell.episode)
    assert (cell.node.statuses[-1].command_id, cell.node.statuses[-1].steps) == ("", 0)
    cell.world.close()


@pytest.mark.parametrize("masks", [True, False])
def test_images_of_a_tasks_prompt_have_masks_where_asked_for(masks):
    cell = Cell("visual_manipulation")
    cell.node.parameters.prompt_masks = masks
    cell.server.start_episode(cell.episode)
    prompt = [message for topic, message in cell.node.published if topic == "task_prompt"][-1]
    assert len(prompt.assets) == 2
    for asset in prompt.assets:
        assert min(len(asset.front.data), len(asset.top.data)) > 0
        assert bool(asset.front_mask.data) == bool(asset.top_mask.data) == masks
    cell.world.close()
