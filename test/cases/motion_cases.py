"""Robots moved by their joints, each odd in its way, and what must come of it.

    ./vima exec python test/cases/motion_cases.py [CASE ...]

For each case an arm node and a manager are started, a played robot (test/ros2_control_robot.py)
is connected, and one pick and place is sent. Prints a table; exit code 1 when a case ends
otherwise than expected.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import table
from ros2_control_robot import ALPHABETICAL, HOME, Ros2ControlRobot, connect, pick_and_place

from vima_msgs.msg import ArmState
from vima_ros.client.client import Client
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.errors import VimaError

PARAMETERS = {"urdf": "ur5e.urdf", "dry_run": False, "nodes": ["arm"]}
END_TIMEOUT = 240.0  # for the slowest robot [s]


@dataclass(frozen=True)
class Case:
    """``robot``: options of the played robot. ``code`` and ``words`` of the arm node's message.

    ``log``: words that the arm node logs exactly once. ``moves``, ``switched``: whether the joints
    may move, and suction be commanded. ``seconds``: at least and at most until the end.
    """

    robot: dict
    code: str = ArmState.OK
    words: tuple[str, ...] = ()
    log: str = ""
    moves: bool = True
    switched: bool = True
    seconds: tuple[float, float] = (0.0, 30.0)


def wound(*turns: float) -> dict:
    return {"start": HOME + np.array(turns)}


def error(radians: float) -> dict:
    return {"error": np.array([0.0, radians, 0.0, 0.0, 0.0, 0.0])}


NOTHING_DONE = {"moves": False, "switched": False, "seconds": (0.0, 8.0)}
TURN = 2 * math.pi
DERIVED = "derived from positions"
CASES = {
    "plain": Case({}),
    "alphabetical_gripper": Case({"order": ALPHABETICAL, "gripper": True}),
    "second_source": Case({"second_source": True}),
    "split_two_messages": Case({"split": True}),
    "prefix": Case(
        {"prefix": "ur5e_"}, "NOT_ACTIVE", ("shoulder_pan_joint", "not reported"), **NOTHING_DONE
    ),
    "velocity_nan": Case({"velocity": "nan"}, log=DERIVED),
    "velocity_empty": Case({"velocity": "absent"}, log=DERIVED),
    "stamp_zero": Case({"stamp": "zero"}),
    "stamp_hour_old": Case({"stamp": "old"}),
    "stamp_frozen": Case({"stamp": "frozen"}),
    "stamp_whole_seconds": Case({"stamp": "whole"}),
    "stamp_zero_velocity_empty_split": Case(
        {"stamp": "zero", "velocity": "absent", "split": True}, log=DERIVED
    ),
    "inactive_controller": Case(
        {"inactive": True},
        ArmState.NOT_STARTED,
        ("/vima/joint_trajectory", "list_controllers"),
        **NOTHING_DONE,
    ),
    "nobody_subscribes": Case(
        {"subscribe": False},
        "NO_CONTROLLER",
        ("/vima/joint_trajectory", "-r joint_trajectory:="),
        **NOTHING_DONE,
    ),
    "hold_after_1.5s": Case({"hold_delay": 1.5}, ArmState.NOT_PICKED),
    "hold_after_0.9s": Case({"hold_delay": 0.9}),
    "steady_error_12mrad": Case(
        error(0.012),
        ArmState.TIMEOUT,
        ("shoulder_lift_joint is 12.0 mrad", "move 1 of 6"),
        switched=False,
    ),
    "steady_error_5mrad": Case(error(0.005)),
    "velocity_noise_0.01": Case({"velocity_noise": 0.01}),
    "velocity_noise_0.006": Case({"velocity_noise": 0.006}),
    "speed_scaled_10pc": Case({"scale": 0.1}, seconds=(40.0, END_TIMEOUT)),
    "rate_5hz": Case({"rate": 5.0}),
    "rate_500hz": Case({"rate": 500.0}),
    "wrist3_plus_2pi": Case(wound(0, 0, 0, 0, 0, TURN - 0.2)),
    "wrist1_plus_2pi": Case(wound(0, 0, 0, TURN, 0, 0)),
    "pan_minus_2pi": Case(wound(0.1 - TURN, 0, 0, 0, 0, 0)),
    "lift_plus_2pi": Case(wound(0, TURN, 0, 0, 0, 0)),
    "all_wrapped": Case(
        wound(TURN - 0.3, TURN, 0, TURN, TURN, 0.3 - TURN),
        "UNREACHABLE",
        ("wrist_3_joint",),
        **NOTHING_DONE,
    ),
    "wrist3_beyond_limit": Case(
        wound(0, 0, 0, 0, 0, 6.2835),
        "UNREACHABLE",
        ("wrist_3_joint at 6.284 rad",),
        **NOTHING_DONE,
    ),
    "upright": Case({"start": np.array([0, -1.57, 0, -1.57, 0, 0])}),
}


def differences(
    case: Case, end: ArmState, robot: Ros2ControlRobot, log: str, seconds: float
) -> list[str]:
    """What is not as it must be."""
    found = []
    if end.code != case.code:
        found.append(f"code is not {case.code}")
    found += [f"no {word!r} in the message" for word in case.words if word not in end.message]
    if case.log and log.count(case.log) != 1:
        found.append(f"{log.count(case.log)} times {case.log!r} in the log")
    if robot.moved and not case.moves:
        found.append("the robot has moved")
    if any(tool.suction for tool in robot.tools) and not case.switched:
        found.append("suction was switched on")
    if not case.seconds[0] <= seconds <= case.seconds[1]:
        found.append(f"took {seconds:.1f} s, not {case.seconds}")
    return found


def run(name: str, folder: Path) -> tuple[str, list[str]]:
    """What was seen of a case, and what of it is wrong."""
    case = CASES[name]
    with NodeProcesses(folder, params_file="example") as processes:
        processes.start(["arm", "manager"], PARAMETERS)
        with Client("cases") as client, Ros2ControlRobot(**case.robot) as robot:
            client.wait_for_active(["arm"], 120, processes.check_alive)
            try:
                connect(client, robot)
                begun = time.monotonic()
                end = pick_and_place(client, name, END_TIMEOUT)
            except VimaError as failure:
                return f"{failure.code}: {failure}"[:200], ["no end"]
            seconds = time.monotonic() - begun
            wrong = differences(case, end, robot, processes.log("arm"), seconds)
    return f"{end.code} after {seconds:.1f} s: {end.message}", wrong


def expected(case: Case) -> str:
    return ", ".join([case.code, *case.words])


if __name__ == "__main__":
    table.main(sys.modules[__name__])
