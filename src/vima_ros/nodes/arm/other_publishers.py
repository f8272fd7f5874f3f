"""Other publishers that could move the arm."""

from __future__ import annotations

from rclpy.node import Node

from vima_ros.nodes.common.node_names import ARM, MANAGER

MOTION_TOPICS = {
    "arm_command": (ARM, MANAGER),  # the manager's are empty: stop
    "joint_trajectory": (ARM,),
    "tool_command": (ARM,),
}


def other_publishers(node: Node) -> list[str]:
    """Return topic and node of each publisher of motion that is not expected."""
    own = node.get_namespace().rstrip("/")
    return sorted(
        f"{topic} by {p.node_namespace.rstrip('/')}/{p.node_name}"
        for topic, expected in MOTION_TOPICS.items()
        for p in node.get_publishers_info_by_topic(topic)
        if not (p.node_namespace.rstrip("/") == own and p.node_name in expected)
    )
