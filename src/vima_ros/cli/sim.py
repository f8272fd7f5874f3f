"""`sim`: the whole suite with the simulated tabletop, as sim.launch.py, without `ros2 launch`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rclpy.utilities import remove_ros_args

from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.client.running_suite import check_none_runs
from vima_ros.errors import VimaError
from vima_ros.nodes.common.namespaces import add_namespace_option
from vima_ros.paths import path_argument, path_text_argument
from vima_ros.sim.scene import MAX_SEED, SCENES

NODES = ["tabletop", "perception", "prompt", "policy", "arm", "manager"]
LOOK = 0.5  # between two looks at whether all still live [s]


def _arguments(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="sim",
        description=__doc__,
        epilog="Runs until Ctrl-C. A node that dies is started again; the arm stays stopped until "
        "resume is called.",
    )
    parser.add_argument("--scene", default="put", choices=sorted(SCENES), help="without a task")
    parser.add_argument("--task", default="", help="of VIMA-Bench; its prompt is sent")
    parser.add_argument("--level", default="", help="of the task; default: its first")
    parser.add_argument("--seed", type=int, default=0, help=f"0 to {MAX_SEED}")
    parser.add_argument(
        "--params-file",
        type=path_text_argument,
        default="tabletop",
        help="Parameter file, or the name of one in config/robots/",
    )
    parser.add_argument("--speed", type=float, default=1.0, help="simulated seconds a second")
    parser.add_argument("--confirm", action="store_true", help="ask for a yes to each motion")
    parser.add_argument(
        "--checkpoint", type=path_text_argument, default="", help="weights of the policy"
    )
    add_namespace_option(parser)
    parser.add_argument(
        "--out", type=path_argument, default=Path("out"), help="folder for the logs"
    )
    return parser.parse_args(args)


def run(options: argparse.Namespace) -> None:
    """Until interrupted. Raises VimaError where the nodes do not come up, or others run there."""
    parameters = {
        "scene": options.scene,
        "task": options.task,
        "level": options.level,
        "seed": options.seed,
        "real_time_factor": options.speed,
        "require_confirmation": options.confirm,
        "checkpoint": options.checkpoint,
    }
    logs = options.out / "logs"
    with NodeProcesses(
        logs, params_file=options.params_file, namespace=options.namespace
    ) as processes:
        with Client("sim", options.namespace) as client:
            check_none_runs(client)
            processes.start(NODES, parameters)
            print(f"starting {', '.join(NODES)} (logs in {logs}) …", flush=True)
            client.wait_for_active(NODES, check=processes.check_starting)
        print("all active; Ctrl-C ends it", flush=True)
        try:
            while True:
                time.sleep(LOOK)
                processes.check_refused()  # it would refuse again
                for name in processes.ended():
                    print(f"{name} has died; it is started again", flush=True)
                    processes.start([name], parameters)
        except KeyboardInterrupt:
            print("ending the nodes …", flush=True)
            raise


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros sim``."""
    options = _arguments(remove_ros_args(args or sys.argv)[1:])
    try:
        run(options)
    except VimaError as error:
        print(f"sim: {error.code}: {error}", file=sys.stderr)
        sys.exit(2)
