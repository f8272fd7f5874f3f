"""Boards, sets of images and robot descriptions that users have, and what must come of each.

    ./vima exec python test/cases/calibration_cases.py [CASE ...]

Boards and sets are rendered, and calibrated by `calibrate`; descriptions are read as the arm node
reads them. Prints a table; exit code 1 when a case ends otherwise than expected.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import robot_descriptions as urdf
import table
from rendered_boards import TEXTURE, HeldBoard, random_set, single_markers, turn
from rendered_table import PinholeCamera

from vima_ros.arm.kinematics import ArmModel
from vima_ros.cli.calibrate.main import main as calibrate
from vima_ros.errors import VimaError
from vima_ros.geometry import Transform
from vima_ros.perception.calibration.charuco import Board
from vima_ros.program import exit_code

SQUARE = 0.04  # [m]
CAMERA = PinholeCamera(d=(-0.2, 0.06, 0.001, -0.001, 0.0))
TABLE = Transform((0.0, 0.0, -0.22))  # in the UR5e's base_link, which stands on a pedestal
Seen = tuple[bool, str]  # whether it was accepted, and what was printed


@dataclass(frozen=True)
class Case:
    """``see``: does it, in a folder of its own. ``words``: all of them are printed or raised."""

    see: Callable[[Path], Seen]
    accepted: bool
    words: tuple[str, ...] = ()


def program(*words: object) -> Seen:
    """`calibrate`, as typed."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        code = exit_code("calibrate", calibrate, [*map(str, words)])
    return code == 0, out.getvalue()


def lens(kind: str, count: int = 10, **board: object) -> Callable[[Path], Seen]:
    """`calibrate lens` on a random set of images of one kind."""

    def see(folder: Path) -> Seen:
        shown, rng = Board(SQUARE, **board), np.random.default_rng(2)
        names = []
        for number, held in enumerate(random_set(kind, shown, CAMERA, rng)[:count]):
            names.append(folder / f"{number}.png")
            cv2.imwrite(str(names[-1]), held.image(noise=3, rng=rng, samples=2))
        return program("lens", *names, "--square", SQUARE, "--out", folder / "info.yaml")

    return see


def view(shown: Board, texture: np.ndarray | None = None) -> Callable[[Path], Seen]:
    """`calibrate view` with one image, where a board of 5 x 4 squares is expected."""

    def see(folder: Path) -> Seen:
        held = HeldBoard(shown, CAMERA, turn(20, 30), (320, 240), 2.2 * shown.size[0])
        cv2.imwrite(str(folder / "a.png"), held.image(texture))
        place = ("--at", 0.5, 0.0, 90, "--square", SQUARE)
        out = folder / "a.yaml"
        return program("view", "top", "--image", folder / "a.png", *place, "--out", out)

    return see


def robot(content: str | bytes, name: str = "arm.urdf") -> Callable[[Path], Seen]:
    """What the arm node makes of a URDF."""

    def see(folder: Path) -> Seen:
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name).write_bytes(data)
        try:
            arm = ArmModel.from_urdf(folder / name, table=TABLE)
        except VimaError as error:
            return False, f"{error.code}: {error}"
        return True, "; ".join(arm.warnings)

    return see


def paper(name: str) -> Callable[[Path], Seen]:
    """`calibrate board`."""
    return lambda folder: program("board", "--paper", name, "--out", folder / "board.png")


UR5E = urdf.ur5e_text()
LEGACY, PRESENT = "OpenCV before 4.6", "OpenCV 4.6 and later"
ADD = ("standard deviation", "Add images: with the ")
CASES = {
    "board_legacy": Case(view(Board(SQUARE, legacy=True)), True, (LEGACY,)),
    "board_present": Case(view(Board(SQUARE)), True, (PRESENT,)),
    "board_other_dictionary": Case(
        view(Board(SQUARE, dictionary="DICT_6X6_250")),
        False,
        ("10 markers (ids 0, 1", "--dictionary DICT_6X6_50 would fit"),
    ),
    "board_7x5": Case(view(Board(0.03, (7, 5))), False, ("17 mark", "--squares 7x5 would fit")),
    "board_4x5": Case(view(Board(SQUARE, (4, 5))), False, ("--squares 4x5 would fit",)),
    "board_5x6": Case(view(Board(0.03, (5, 6))), False, ("continue the board beyond 5 x 4",)),
    "markers_only": Case(view(Board(SQUARE), single_markers()), False, ("6 markers (ids 0, 1",)),
    "nothing": Case(
        view(Board(SQUARE), np.full((4 * TEXTURE, 5 * TEXTURE), 255, np.uint8)),
        False,
        ("no ArUco marker",),
    ),
    "paper_letter": Case(paper("letter"), True, ("Letter", "240 mm", "--square 0.048")),
    "paper_a5": Case(paper("a5"), False, ("Letter", "A4")),
    "lens_good": Case(lens("good"), True, ("focal length", PRESENT)),
    "lens_good_legacy": Case(lens("good", legacy=True), True, ("focal length", LEGACY)),
    "lens_one_way": Case(lens("one_way"), True, (*ADD, "not tilted to all sides")),
    "lens_parallel": Case(lens("parallel"), False, ADD),
    "lens_slight": Case(lens("slight"), False, ADD),
    "lens_middle": Case(lens("middle"), False, (*ADD, "upper left")),
    "lens_few": Case(lens("few"), True, ("standard deviation", "ten in all")),
    "lens_four": Case(lens("good", 4), False, ("TOO_FEW_POINTS", "5 or more")),
    "urdf_plain": Case(robot(UR5E), True),
    "urdf_velocity_zero": Case(
        robot(urdf.limits(UR5E, "velocity", "0")), False, ("wrist_3_joint: no velocity limit",)
    ),
    "urdf_effort_zero": Case(robot(urdf.limits(UR5E, "effort", "0")), True),
    "urdf_no_limit": Case(
        robot(UR5E.replace("<limit ", "<limits ")), False, ("shoulder_pan_joint has no <limit>",)
    ),
    "urdf_continuous": Case(robot(UR5E.replace('"revolute"', '"continuous"')), True),
    "urdf_no_collision": Case(
        robot(urdf.without_collision(UR5E)), True, ("not checked for collisions",)
    ),
    "urdf_prismatic": Case(robot(urdf.with_type(UR5E, "prismatic")), False, ("'prismatic'",)),
    "urdf_mimic": Case(robot(urdf.with_mimic(UR5E)), False, ("mimic",)),
    "urdf_gripper": Case(robot(urdf.with_gripper(UR5E)), True, ("fixed at 0",)),
    "urdf_mesh_package": Case(
        robot(urdf.with_mesh(UR5E, "package://ur_description/meshes/a.stl")),
        False,
        ("package://ur_description/meshes/a.stl", "sourced"),
    ),
    "urdf_mesh_relative": Case(
        robot(urdf.with_mesh(UR5E, "meshes/a.stl")), False, ("meshes/a.stl", "relative")
    ),
    "urdf_xacro": Case(
        robot(urdf.xacro(UR5E), "ur5e.urdf.xacro"),
        False,
        ("`xacro ur5e.urdf.xacro -o robot.urdf`",),
    ),
    "urdf_bom": Case(robot(b"\xef\xbb\xbf" + UR5E.encode()), True),
    "urdf_utf16": Case(
        robot(('<?xml version="1.0" encoding="UTF-16"?>' + UR5E).encode("utf-16")), True
    ),
    "urdf_empty": Case(robot(""), False, ("empty",)),
    "urdf_sdf": Case(robot('<sdf version="1.7"><model name="a"/></sdf>'), False, ("SDF",)),
    "urdf_html": Case(robot("<!DOCTYPE html><html></html>"), False, ("HTML",)),
    "urdf_cut": Case(robot(UR5E[:3000]), False, ("no XML", "line 42")),
}


def run(name: str, folder: Path) -> tuple[str, list[str]]:
    """What was seen of a case, and what of it is wrong."""
    case = CASES[name]
    accepted, seen = case.see(folder)
    seen = seen.replace(f"{folder}/", "")
    wrong = [] if accepted == case.accepted else ["accepted" if accepted else "refused"]
    wrong += [f"no {word!r}" for word in case.words if word not in seen]
    if case.accepted and not case.words and seen:
        wrong.append("a warning")
    if "Traceback" in seen:
        wrong.append("a traceback")
    return ("accepted" if accepted else "refused") + f": {seen}", wrong


def expected(case: Case) -> str:
    return ", ".join(["accepted" if case.accepted else "refused", *case.words])


if __name__ == "__main__":
    table.main(sys.modules[__name__])
