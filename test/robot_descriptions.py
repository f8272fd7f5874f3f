"""URDFs of all kinds, made from the UR5e's that is bundled; for tests and test/cases."""

from __future__ import annotations

import re
from pathlib import Path

UR5E = Path(__file__).parents[1] / "config" / "robots" / "ur5e.urdf"
ALL_JOINTS = (
    "shoulder_pan_joint",
    "shoulder_lift_joint",
    "elbow_joint",
    "wrist_1_joint",
    "wrist_2_joint",
    "wrist_3_joint",
)


def ur5e_text() -> str:
    """As bundled, without an XML declaration."""
    return re.sub(r"<\?xml.*?\?>", "", UR5E.read_text()).lstrip()


def without_collision(text: str) -> str:
    """No link has a collision shape."""
    return re.sub(r"<collision>.*?</collision>", "", text, flags=re.S)


def limits(text: str, name: str, value: str | None) -> str:
    """An attribute of every <limit>; None: absent."""
    return re.sub(rf' {name}="[^"]*"', "" if value is None else f' {name}="{value}"', text)


def with_type(text: str, kind: str, joint: str = "wrist_3_joint") -> str:
    """One joint of another type."""
    return text.replace(f'{joint}" type="revolute"', f'{joint}" type="{kind}"')


def with_gripper(text: str) -> str:
    """Two fingers on the flange, the second of which mimics the first."""
    fingers = """<link name="finger_1"/><link name="finger_2"/>
      <joint name="finger_1_joint" type="prismatic">
        <parent link="tool0"/><child link="finger_1"/><axis xyz="0 1 0"/>
        <limit lower="0" upper="0.04" velocity="0" effort="0"/></joint>
      <joint name="finger_2_joint" type="prismatic">
        <parent link="tool0"/><child link="finger_2"/><axis xyz="0 -1 0"/>
        <mimic joint="finger_1_joint"/>
        <limit lower="0" upper="0.04" velocity="0" effort="0"/></joint></robot>"""
    return text.replace("</robot>", fingers)


def with_mimic(text: str) -> str:
    """The last joint follows the one before."""
    child = '<child link="wrist_3_link"/>'
    return text.replace(child, child + '<mimic joint="wrist_2_joint"/>')


def with_mesh(text: str, filename: str) -> str:
    """A link's first collision shape is a mesh."""
    mesh = f'<geometry><mesh filename="{filename}"/></geometry>'
    return re.sub(
        r"(<collision>\s*<origin[^>]*/>\s*)<geometry>.*?</geometry>",
        rf"\1{mesh}",
        text,
        count=1,
        flags=re.S,
    )


def xacro(text: str) -> str:
    """With one property of xacro that has not been replaced."""
    head = '<robot name="ur5e" xmlns:xacro="http://www.ros.org/wiki/xacro">'
    head += '<xacro:property name="r" value="0.07"/>'
    return text.replace('<robot name="ur5e">', head).replace('radius="0.07"', 'radius="${r}"')
