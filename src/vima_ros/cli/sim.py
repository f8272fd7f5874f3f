"""`sim`: start the suite with the simulated tabletop, as sim.launch.py, without `ros2 launch`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from vima_ros.cli.arguments import ArgumentParser
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.client.running_suite import check_no_running_suite
from vima_ros.nodes.common.namespaces import add_namespace_option
from vima_ros.nodes.common.node_names import SUITE
from vima_ros.paths import path_argument, path_text_argument
from vima_ros.program import without_ros_args
from vima_ros.sim.episode_runner import find_level
from vima_ros.sim.scene import MAX_SEED, SCENES
from vima_ros.sim.tasks import find_task

POLL_PERIOD = 0.5  # of the check for dead nodes [s]


def parse(args: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(
        prog="sim",
        description=__doc__,
        epilog="Runs until Ctrl-C. A node that dies is restarted; the arm stays stopped until "
        "resume is called.",
    )
    parser.add_argument(
        "--scene", default="put", choices=sorted(SCENES), help="Scene without a task"
    )
    parser.add_argument("--task", default="", help="VIMA-Bench task, whose prompt is sent")
    parser.add_argument("--level", default="", help="Level of the task; default: its first")
    parser.add_argument(
        "--seed", type=int, default=0, help=f"Seed of the episode, 0 to {MAX_SEED}"
    )
    parser.add_argument(
        "--params-file",
        type=path_text_argument,
        default="tabletop",
        help="Parameter file, or the name of one in config/robots/",
    )
    parser.add_argument(
        "--real-time-factor", type=float, default=1.0, help="Simulated seconds per second"
    )
    parser.add_argument(
        "--confirm", action="store_true", help="Confirmation of each motion by the operator"
    )
    parser.add_argument(
        "--checkpoint",
        type=path_text_argument,
        default="",
        help="Checkpoint of the policy: a file, or gpt, gato, flamingo (bundled)",
    )
    add_namespace_option(parser)
    parser.add_argument(
        "--out", type=path_argument, default=Path("out"), help="Folder for the logs"
    )
    options = parser.parse_args(args)
    if not 0 <= options.seed <= MAX_SEED:
        parser.error(f"--seed {options.seed}; valid: 0 to {MAX_SEED}")
    return options


def run(options: argparse.Namespace) -> None:
    """Run the suite until interrupted.

    A task, level or checkpoint that the nodes would refuse is refused before they are started.

    Raises VimaError, also if the nodes do not become active, or if a suite already runs there.
    """
    parameters = {
        "scene": options.scene,
        "task": options.task,
        "level": options.level,
        "seed": options.seed,
        "real_time_factor": options.real_time_factor,
        "require_confirmation": options.confirm,
        "checkpoint": options.checkpoint,
    }
    if options.task:
        find_task(options.task).check_level(find_level(options.level or None))
    if options.checkpoint:
        from vima_ros.policy.checkpoints.load import load_policy  # importing torch takes seconds

        load_policy(options.checkpoint)
    logs = options.out / "logs"
    with NodeProcesses(
        logs, params_file=options.params_file, namespace=options.namespace
    ) as processes:
        with Client("sim", options.namespace) as client:
            check_no_running_suite(client)
            processes.start(SUITE, parameters)
            print(f"starting {', '.join(SUITE)} (logs in {logs}) …", flush=True)
            client.wait_for_active(SUITE, check=processes.check_starting)
        print("all active; Ctrl-C ends the suite", flush=True)
        try:
            while True:
                time.sleep(POLL_PERIOD)
                processes.check_refused()  # a restart would be refused again
                for name in processes.ended():
                    print(f"{name} has died and is restarted", flush=True)
                    processes.start([name], parameters)
        except KeyboardInterrupt:
            print("ending the nodes …", flush=True)
            raise


def main(args: list[str]) -> None:
    """``ros2 run vima_ros sim``."""
    run(parse(without_ros_args(args)))
