"""Preparation of an arm's URDF for planning; unsupported features are refused with a reason."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from vima_ros.errors import VimaError

_OTHER_FORMATS = {  # by root element
    "sdf": "SDF (Gazebo's format)",
    "mujoco": "MJCF (MuJoCo's format)",
    "html": "an HTML page",
    "COLLADA": "a COLLADA mesh",
}
MESHES = (
    "a file relative to the URDF's folder, or package://NAME/… with the package NAME sourced or "
    "in a folder above the URDF; or primitive shapes as <collision>"
)
_UNLIMITED = "1e9"  # of a continuous joint [rad]: urdfdom reads no infinity
_NUMBERS = frozenset(("size", "radius", "length", "scale", "xyz", "rpy"))  # attributes
_SHAPES = ("box", "cylinder", "sphere", "mesh")  # those that urdfdom reads
_NAMES_SHOWN = 8


@dataclass(frozen=True)
class ArmDescription:
    """URDF in which only the joints between base and tool tip move, all of them revolute.

    ``xml``: the URDF; ``links``: names of all links; ``continuous``: names of the joints without
    limits; ``warnings``: sentences on what is assumed or not checked.
    """

    xml: str
    links: tuple[str, ...]
    continuous: frozenset[str]
    warnings: tuple[str, ...]


def read_urdf(path: Path) -> ElementTree.Element:
    """Read the root element of a URDF file, in any encoding that it declares.

    Raises VimaError (BAD_ROBOT) for any other format, such as xacro or SDF.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _bad(path, f"{error.strerror}; valid: a URDF file") from error
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:200].lower()
    if not start:
        raise _bad(path, "the file is empty; valid: a URDF file")
    if start.startswith(b"version https://git-lfs"):
        raise _bad(path, "a Git LFS pointer, not the file itself; valid: the file (git lfs pull)")
    if start.startswith((b"<!doctype html", b"<html")):
        raise _bad(path, "an HTML page; valid: a URDF file")
    try:
        root = ElementTree.fromstring(data.lstrip())  # noqa: S314 (expat limits what expands)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        if b"<xacro:" in data:
            raise _xacro(path) from error
        raise _bad(path, f"no XML: {error}; valid: a URDF file") from error
    if root.tag in _OTHER_FORMATS:
        raise _bad(path, f"{_OTHER_FORMATS[root.tag]}; valid: a URDF file")
    if root.tag != "robot":
        raise _bad(path, f"the root element is <{root.tag}>; valid: <robot>, as in a URDF file")
    for element in root.iter():
        values = " ".join(element.attrib.values())
        if "xacro}" in str(element.tag) or "${" in values or "$(" in values:
            raise _xacro(path)
    return root


def describe_arm(path: Path, tip_frame: str, base_frame: str) -> ArmDescription:
    """Read the arm between ``base_frame`` and ``tip_frame``, names of links.

    Joints elsewhere, such as a gripper's, become fixed at 0. A continuous joint becomes a revolute
    one without limits of its range. Raises VimaError (BAD_ROBOT), naming the joint.
    """
    root = read_urdf(path)
    links = tuple(link.get("name", "") for link in root.findall("link"))
    for name in (tip_frame, base_frame):
        if name not in links:
            raise _bad(path, f"no frame {name!r}; valid: {', '.join(links)}")
    _check_tree(path, root, links)
    above = {_link(joint, "child"): joint for joint in root.findall("joint")}
    moving = [joint for joint in root.findall("joint") if joint.get("type") != "fixed"]
    if any(joint in moving for joint in _chain(base_frame, above)):
        raise _bad(path, f"base frame {base_frame!r} moves; valid: a link that is fixed")
    arm = [joint for joint in _chain(tip_frame, above) if joint in moving][::-1]
    others = [joint for joint in moving if joint not in arm]
    _check(path, arm)
    warnings = []
    if others:
        warnings.append(
            f"{_names(others)} of {path.name} do not move {tip_frame}: they are taken as fixed at "
            "0, also where collisions are checked"
        )
    for joint in others:
        _fix(joint)
    continuous = [joint for joint in arm if joint.get("type") == "continuous"]
    for joint in arm:
        _complete(joint)
    moved = [
        link
        for link in root.findall("link")
        if any(joint in arm for joint in _chain(link.get("name", ""), above))
    ]
    warnings += _unchecked(path, moved)
    for shape in root.iterfind("link/collision"):
        _check_shape(path, shape)
    for mesh in root.iterfind("link/collision/geometry/mesh"):
        mesh.set("filename", _mesh(path, mesh.get("filename", "")))
    return ArmDescription(
        ElementTree.tostring(root, encoding="unicode"),
        links,
        frozenset(joint.get("name", "") for joint in continuous),
        tuple(warnings),
    )


def _bad(path: Path, reason: str) -> VimaError:
    return VimaError("BAD_ROBOT", f"{path}: {reason}")


def _xacro(path: Path) -> VimaError:
    return _bad(
        path, f"a xacro file, not yet a URDF; valid: what `xacro {path.name} -o robot.urdf` makes"
    )


def _link(joint: ElementTree.Element, which: str) -> str:
    element = joint.find(which)
    return "" if element is None else element.get("link", "")


def _chain(link: str, above: dict[str, ElementTree.Element]) -> Iterator[ElementTree.Element]:
    """Yield the joints from ``link`` up to the root."""
    seen = set()
    while link in above and link not in seen:
        seen.add(link)
        yield above[link]
        link = _link(above[link], "parent")


def _check_tree(path: Path, root: ElementTree.Element, links: tuple[str, ...]) -> None:
    """Raise VimaError (BAD_ROBOT) for duplicate names, or links that form no tree."""
    joints = root.findall("joint")
    for what, names in (("link", links), ("joint", [joint.get("name") for joint in joints])):
        if twice := sorted({str(name) for name in names if names.count(name) > 1}):
            raise _bad(path, f"two {what}s are named {twice[0]!r}; valid: unique names")
    children = [_link(joint, "child") for joint in joints]
    roots = [link for link in links if link not in children]
    if len(roots) != 1:
        raise _bad(
            path,
            f"{len(roots)} links that no joint has as its child ({', '.join(roots)}); valid: one, "
            "the root, from which joints lead to all others",
        )


def _mesh(path: Path, name: str) -> str:
    """Return the file of a mesh, or its package:// URI, which Pinocchio resolves.

    Raises VimaError (BAD_ROBOT) if the file does not exist.
    """
    if "://" in name and not name.startswith("file://"):
        return name
    file = path.resolve().parent / name.removeprefix("file://")
    if not file.is_file():
        raise _bad(path, f"there is no mesh {file}; valid: {MESHES}")
    return str(file)


def _names(elements: list[ElementTree.Element]) -> str:
    names = [element.get("name", "") for element in elements]
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    what = elements[0].tag + ("s" if len(names) > 1 else "")
    return f"{what} {', '.join(names[:_NAMES_SHOWN])}{more}"


def _check(path: Path, arm: list[ElementTree.Element]) -> None:
    """Raise VimaError (BAD_ROBOT) for a joint that cannot be planned with."""
    for joint in arm:
        kind = joint.get("type", "")
        if kind not in ("revolute", "continuous"):
            raise _bad(
                path,
                f"{_names([joint])} is of type {kind!r}; valid between base and tool tip: "
                "revolute, continuous and fixed joints",
            )
        if joint.find("mimic") is not None:
            raise _bad(
                path,
                f"{_names([joint])} follows another joint (mimic); valid between base and tool "
                "tip: independent joints",
            )
        if joint.find("limit") is None:
            raise _bad(
                path,
                f"{_names([joint])} has no <limit>; valid: one with velocity [rad/s] and, but for "
                "a continuous joint, lower and upper [rad]",
            )
        low, high = _number(path, joint, "lower"), _number(path, joint, "upper")
        if kind == "revolute" and not low < high:
            raise _bad(
                path,
                f"{_names([joint])} may move from {low:g} to {high:g} rad; valid: <limit> with "
                "lower below upper [rad]",
            )
        axis = joint.find("axis")
        if axis is not None and not any(_floats(axis.get("xyz", "1 0 0"))):
            raise _bad(path, f"{_names([joint])} has no axis; valid: <axis xyz> that is not 0")
    stuck = [joint for joint in arm if not _number(path, joint, "velocity") > 0]
    if stuck:
        raise _bad(
            path,
            f"{_names(stuck)}: no velocity limit above 0, so nothing may move; valid: <limit "
            "velocity> [rad/s] as in the arm's data sheet",
        )


def _number(path: Path, joint: ElementTree.Element, name: str) -> float:
    """Return an attribute of a joint's <limit>; 0 if absent, as URDF specifies."""
    limit = joint.find("limit")
    text = "0" if limit is None else limit.get(name, "0")
    (value,) = _floats(text) or [math.nan]
    if not math.isfinite(value):
        raise _bad(path, f"{_names([joint])}: {name} is {text!r}; valid: a finite number")
    return value


def _floats(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split()]
    except ValueError:
        return [math.nan]


def _fix(joint: ElementTree.Element) -> None:
    joint.set("type", "fixed")
    for name in ("limit", "mimic", "axis", "safety_controller"):
        for element in joint.findall(name):
            joint.remove(element)


def _complete(joint: ElementTree.Element) -> None:
    """Add the attributes that urdfdom requires; make a continuous joint revolute."""
    limit = joint.find("limit")
    if limit is None:
        return
    limit.attrib.setdefault("effort", "0")
    if joint.get("type") == "continuous":
        joint.set("type", "revolute")
        limit.attrib |= {"lower": "-" + _UNLIMITED, "upper": _UNLIMITED}


def _check_shape(path: Path, collision: ElementTree.Element) -> None:
    """Refuse a collision shape that the parser would skip, or with invalid numbers."""
    kinds = [shape.tag for shape in collision.findall("geometry/*")]
    if len(kinds) != 1 or kinds[0] not in _SHAPES:
        found = ", ".join(kinds) or "no shape"
        raise _bad(path, f"<collision> with {found}; valid: one of {', '.join(_SHAPES)}")
    for element in collision.iter():
        for name in {"size", "radius", "length", "scale", "xyz", "rpy"}.intersection(
            element.keys()
        ):
            text = element.get(name, "")
            numbers = _floats(text)
            positive = name in ("size", "radius", "length")
            if (
                not numbers
                or not all(map(math.isfinite, numbers))
                or (positive and min(numbers) <= 0)
            ):
                valid = "numbers above 0" if positive else "finite numbers"
                raise _bad(path, f"<collision>: {name} is {text!r}; valid: {valid}")


def _unchecked(path: Path, moved: list[ElementTree.Element]) -> list[str]:
    """Return sentences on which moving links are not checked for collisions."""
    if not any(link.find("collision") is not None for link in moved):
        return [
            f"{path.name} has no collision shapes on links that move: the arm is not checked for "
            "collisions with itself or the table, only joint limits and the height of the tool "
            "tip are; add <collision> to its links"
        ]
    bare = [
        link
        for link in moved
        if link.find("visual") is not None and link.find("collision") is None
    ]
    return (
        [f"{_names(bare)} of {path.name} have no collision shapes: not checked for collisions"]
        if bare
        else []
    )
