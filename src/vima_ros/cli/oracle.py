"""`oracle`: solve tasks by their oracles through the arm and tabletop nodes.

A task's oracle knows the true poses of the objects and acts in place of the policy; gate, arm node
and robot are those of the suite. So it measures everything downstream of the policy.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from visualization_msgs.msg import MarkerArray

from vima_msgs.msg import ArmState, PolicyAction, TaskStatus
from vima_msgs.srv import LoadTask
from vima_ros.cli.arguments import ArgumentParser
from vima_ros.client.client import Client
from vima_ros.client.command_ends import ends_command
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.client.running_suite import check_no_running_suite
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Workspace
from vima_ros.nodes.common import action_conversions, conversions, qos
from vima_ros.nodes.common.node_names import ARM, MANAGER, TABLETOP
from vima_ros.nodes.common.ros_domain import isolate_ros_domain
from vima_ros.paths import path_argument, path_text_argument
from vima_ros.program import DONE, NEGATIVE, without_ros_args
from vima_ros.sim.episode_runner import choose_tasks, find_level, task_primitive
from vima_ros.sim.tasks import TASKS
from vima_ros.sim.tasks.base import Level, Task, TaskEpisode, WorldState
from vima_ros.specs import Action

NODES = [ARM, TABLETOP]  # started with the manager
TIMEOUT = 60.0  # of a motion [s]


class OracleDriver:
    """Runner of episodes in which an oracle acts on the running nodes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._states = client.subscribe(ArmState, "arm_state")
        self._statuses = client.subscribe(TaskStatus, "task_status", qos.LATCHED)
        self._markers = client.subscribe(MarkerArray, "markers", capacity=100)
        self._actions = client.create_publisher(PolicyAction, "action")
        client.wait_until(lambda: self._actions.get_subscription_count() > 0, "arm node")
        low, high = client.get_parameters(TABLETOP, "workspace_min", "workspace_max")
        self.workspace = Workspace(tuple(low), tuple(high))

    def run(self, task: Task, seed: int, level: Level | None = None) -> TaskStatus:
        """Run one episode and return its last status.

        Raises VimaError: GAVE_UP, TIMEOUT, or the gate's code for a refused action.
        """
        episode = task.sample(seed, level, self.workspace)
        oracle = task.oracle(episode)
        status = self.load(task.name, episode.level.value, seed)
        while status.outcome == TaskStatus.RUNNING:
            poses = oracle.act(self.world_state(episode, status))
            if poses is None:
                raise VimaError("GAVE_UP", f"the oracle has no further action; {status.reason}")
            status = self.act(task, poses, status)
        return status

    def load(self, task: str, level: str, seed: int) -> TaskStatus:
        """Load a task and return its first status. Raises VimaError: NOT_LOADED, TIMEOUT."""
        before = self._statuses.count
        response = self._client.call(
            LoadTask, "load_task", LoadTask.Request(task=task, level=level, seed=seed)
        )
        if not response.success:
            raise VimaError("NOT_LOADED", response.message)
        return self._statuses.wait(
            lambda m: (m.task, m.level, m.seed, m.steps) == (task, level, seed, 0),
            TIMEOUT,
            "task_status",
            before,
        )

    def world_state(self, episode: TaskEpisode, status: TaskStatus) -> WorldState:
        """Return the true poses after the last evaluation."""
        evaluated = conversions.stamp_to_ns(status.header.stamp)
        self._true_poses = self._markers.wait(
            lambda m: m.markers and _stamp(m) > evaluated,
            15,
            "markers",
            max(self._markers.count - 1, 0),
        )
        poses = {m.ns: conversions.pose_from_message(m.pose) for m in self._true_poses.markers}
        return WorldState(poses, episode.scene)

    def act(self, task: Task, poses: tuple[Pose, Pose], status: TaskStatus) -> TaskStatus:
        """Execute one action and return the status after it. Raises VimaError as ``run``."""
        chosen = Action.from_poses(*poses, self.workspace, task_primitive(task))
        action = PolicyAction(
            prompt_id=f"oracle/{task.name}/{status.seed}",
            step=status.steps,
            primitive=int(chosen.primitive),
            bins=chosen.bins.astype("uint8"),
            observation_stamp=self._true_poses.markers[0].header.stamp,
        )
        pose0, pose1 = chosen.poses(self.workspace)
        action.pose0 = conversions.pose_to_message(pose0)
        action.pose1 = conversions.pose_to_message(pose1)
        action.header.frame_id = self._true_poses.markers[0].header.frame_id
        command_id = action_conversions.action_id(action)
        states, statuses = self._states.count, self._statuses.count
        self._actions.publish(action)
        end = self._states.wait(
            lambda m: ends_command(m, command_id),
            TIMEOUT,
            f"end of {command_id}",
            states,
            quiet=True,
        )
        not_executed = end.state in (ArmState.REFUSED, ArmState.STOPPED)
        if not_executed or end.code == ArmState.RESET:
            raise VimaError(end.code, end.message)
        return self._statuses.wait(
            lambda m: m.command_id == command_id,
            TIMEOUT,
            f"task_status of {command_id}",
            statuses,
            quiet=True,
        )


def _stamp(markers: MarkerArray) -> int:
    return conversions.stamp_to_ns(markers.markers[0].header.stamp)


def measure(options: argparse.Namespace) -> bool:
    """Print the success rate of each task. Return True if all episodes were solved."""
    level = find_level(options.level or None)
    tasks = choose_tasks(options.tasks or None, level)
    isolate_ros_domain()
    with (
        NodeProcesses(options.out / "logs", params_file=options.params_file) as processes,
        Client("oracle") as client,
    ):
        check_no_running_suite(client)
        values = {
            "nodes": NODES,
            "camera_rate": 30.0,
            "real_time_factor": options.real_time_factor,
        }
        processes.start([*NODES, MANAGER], values | {"send_prompt": False})
        client.wait_for_active(NODES, check=processes.check_starting)
        driver, all_solved = OracleDriver(client), True
        for task in tasks:
            begin, solved = time.monotonic(), 0
            for seed in range(options.first_seed, options.first_seed + options.seeds):
                try:
                    status = driver.run(task, seed, level)
                    good, reason = status.outcome == TaskStatus.SUCCESS, status.reason
                except VimaError as error:
                    good, reason = False, f"{error.code}: {error}"
                solved += good
                if not good:
                    print(f"  {task.name}, seed {seed}: {reason}", flush=True)
            seconds = (time.monotonic() - begin) / options.seeds
            rate = f"{solved}/{options.seeds} solved, {seconds:.1f} s per episode"
            print(f"{task.name}: {rate}", flush=True)
            all_solved &= solved == options.seeds
    return all_solved


def main(args: list[str]) -> int:
    """``ros2 run vima_ros oracle``; its result is negative unless all episodes were solved."""
    parser = ArgumentParser(prog="oracle", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--tasks", nargs="+", choices=list(TASKS), help="Names of tasks; default: all"
    )
    parser.add_argument(
        "--level", default="", help="Level of the tasks; default: the first of each"
    )
    parser.add_argument("--seeds", type=int, default=1, help="Number of episodes of each task")
    parser.add_argument("--first-seed", type=int, default=0, help="Seed of the first episode")
    parser.add_argument(
        "--params-file",
        type=path_text_argument,
        default="tabletop",
        help="Parameter file, or the name of one in config/robots/",
    )
    parser.add_argument(
        "--real-time-factor", type=float, default=10.0, help="Simulated seconds per second"
    )
    parser.add_argument(
        "--out", type=path_argument, default=Path("out"), help="Folder for the logs"
    )
    return DONE if measure(parser.parse_args(without_ros_args(args))) else NEGATIVE
