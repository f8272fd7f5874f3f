"""`evaluate_robot`: success rates of a policy through cameras, all nodes and a simulated robot."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from sensor_msgs.msg import Image

from vima_ros.cli.arguments import ArgumentParser
from vima_ros.cli.evaluation_options import (
    add_evaluation_options,
    collect_attempts,
    make_jobs,
    report,
)
from vima_ros.client.client import Client
from vima_ros.client.message_buffer import MessageBuffer
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.client.task_runner import TaskRunner, start_nodes
from vima_ros.files import prepare_folder
from vima_ros.nodes.common import image_conversion, qos
from vima_ros.nodes.common.ros_domain import isolate_ros_domain
from vima_ros.program import run_program, without_ros_args
from vima_ros.specs import VIEWS
from vima_ros.training.evaluation.policy_rollouts import NO_DETECTOR, Attempt, Job

SPEED = 10.0  # simulated seconds per second
IMAGE_TIMEOUT = 5.0  # of images at the end of an episode, where none came before [s]


def attempt_all(jobs: Sequence[Job], out: Path) -> Iterator[Attempt]:
    """Run each job through cameras, nodes and the simulated robot.

    Jobs of one detector share their processes. Raises VimaError where nodes do not come up.
    """
    groups: dict[tuple[str, str, str, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.sim, job.detector, job.checkpoint, job.pick), []).append(job)
    isolate_ros_domain()
    for number, ((sim, detector, checkpoint, pick), group) in enumerate(groups.items()):
        logs = out / "logs" / f"{number}_{detector}"
        values = {"checkpoint": checkpoint, "pick": pick, "real_time_factor": SPEED}
        with (
            NodeProcesses(logs, params_file=sim) as processes,
            Client("evaluate") as client,
        ):
            # A perception node whose policy reads whole images asks no detector.
            found = "onnx" if detector == NO_DETECTOR else detector
            start_nodes(processes, client, found, values, sim)
            episodes = TaskRunner(client)
            frames = {
                v: client.subscribe(Image, f"{v}/image_raw", qos.SENSOR_DATA, capacity=1)
                for v in VIEWS
            }
            for job in group:
                processes.check_alive()
                yield attempt(job, episodes, frames)


def attempt(job: Job, episodes: TaskRunner, frames: Mapping[str, MessageBuffer]) -> Attempt:
    """Run one episode; ``frames``: the cameras' latest images. Raises WaitTimeoutError."""
    began = time.perf_counter()
    ended = episodes.wait_for_end(episodes.start(job.task, job.level, job.seed))
    seconds = time.perf_counter() - began
    image = None
    if ended.code != "SUCCESS":
        last = [frames[v].wait(lambda _: True, IMAGE_TIMEOUT, f"{v} image") for v in VIEWS]
        image = np.vstack([image_conversion.decode_colour(message) for message in last])
    return Attempt(job, ended.code, ended.reason, ended.steps, seconds, image)


def main(args: list[str]) -> None:
    """``ros2 run vima_ros evaluate_robot``."""
    from vima_ros.policy.checkpoints.load import load_policy

    parser = ArgumentParser(
        prog="evaluate_robot",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_evaluation_options(parser)
    options = parser.parse_args(without_ros_args(args))
    prepare_folder(options.out)
    policy = load_policy(Path(options.policy), pick=options.pick)
    jobs = make_jobs(options, policy)
    attempts = collect_attempts("evaluate_robot", attempt_all(jobs, options.out), len(jobs))
    report(options, policy, attempts)


if __name__ == "__main__":
    run_program(lambda: main)
