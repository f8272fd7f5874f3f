"""A task named at the start: the whole suite begins it by itself."""

import pytest
from conftest import ALL_NODES, STALL_TOLERANT

from vima_msgs.msg import EpisodeStatus, PromptStatus, TaskStatus
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.nodes.common import qos
from vima_ros.sim.tasks import find_task

STEPS = 2


@pytest.mark.slow
def test_the_suite_begins_the_task_it_is_started_with(tmp_path):
    values = {"task": "rotate", "seed": 3, "max_steps": STEPS, "real_time_factor": 10.0}
    with NodeProcesses(tmp_path, params_file="tabletop") as processes, Client("test") as client:
        processes.start(ALL_NODES, values | STALL_TOLERANT)
        client.wait_for_active(ALL_NODES, 120, processes.check_alive)
        text = find_task("rotate").sample(3).prompt
        answers = client.subscribe(PromptStatus, "prompt_status", qos.LATCHED)
        answer = answers.wait(lambda m: m.text == text, 30, "answer to the task's prompt")
        assert (answer.code, len(answers.messages)) == (PromptStatus.OK, 1)
        episodes = client.subscribe_episodes()
        end = episodes.wait(lambda m: m.state == EpisodeStatus.FINISHED, 60, "the episode's end")
        assert end.prompt_id == answer.prompt_id
        assert end.code in (EpisodeStatus.STEP_LIMIT, EpisodeStatus.SUCCESS)
        tasks = client.subscribe(TaskStatus, "task_status", qos.LATCHED)
        status = tasks.wait(lambda m: m.steps == end.executed, 15, "task_status")
        assert (status.task, status.seed) == ("rotate", 3)
        assert status.steps <= STEPS  # what the gate refused is no step
        solved = status.outcome == TaskStatus.SUCCESS
        assert solved == (end.code == EpisodeStatus.SUCCESS)
