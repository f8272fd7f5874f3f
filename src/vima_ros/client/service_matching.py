"""The proof that a server has matched a new client, without which its response may be lost."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo

# Bytes of an endpoint's GID that name its DDS participant: one per process and context.
PARTICIPANT_BYTES = 12

_UNKNOWN = "_NODE_NAME_UNKNOWN_"  # rmw_dds_common's word until a process has announced its nodes


def server_is_known(node: Node, service: str) -> bool:
    """Return whether the graph has the server of a service with its node's name.

    On a busy machine that is later than ``service_is_ready``: both learn of an endpoint by
    themselves.
    """
    servers = _servers(node, service)
    return bool(servers) and all(info.node_name != _UNKNOWN for info in servers)


def server_heartbeats(node: Node, service: str) -> Callable[[], set[str]]:
    """Return a function that returns the names on the heartbeats of the service's process.

    ``service_is_ready`` reports that the client has matched the server. The server matches the
    client's reader of responses in its own time, and what it responds before that is lost. DDS
    announces the readers of a process in the order of their creation: a server from whose process
    a message arrives at a reader that was created after the client has matched the client, too.
    All nodes of the suite publish heartbeats, also while they compute. There are no names, and
    nothing to wait for, where the server is no node of the suite. Only of use once the server is
    known.
    """
    servers = {bytes(info.endpoint_gid[:PARTICIPANT_BYTES]) for info in _servers(node, service)}
    topic = node.resolve_topic_name("heartbeat")

    def names() -> set[str]:
        return {
            f"{info.node_namespace.rstrip('/')}/{info.node_name}"
            for info in node.get_publishers_info_by_topic(topic)
            if bytes(info.endpoint_gid[:PARTICIPANT_BYTES]) in servers
        }

    return names


def _servers(node: Node, service: str) -> list[TopicEndpointInfo]:
    reply = f"rr{node.resolve_service_name(service)}Reply"  # its name in DDS
    return node.get_publishers_info_by_topic(reply, no_mangle=True)
