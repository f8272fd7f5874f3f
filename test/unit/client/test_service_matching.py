"""Which heartbeats prove that a server has matched a new client."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="no ROS 2: run `make test`, which prepares it")

from vima_ros.client.service_matching import server_heartbeats, server_is_known


def endpoint(process, name, entity=1):
    gid = [process] * 12 + [0, 0, entity, 3]
    return SimpleNamespace(node_namespace="/vima", node_name=name, endpoint_gid=gid)


class Graph:
    """As much of a node as tells of others: {topic: publishers}."""

    def __init__(self, publishers):
        self.publishers = publishers

    def resolve_service_name(self, name):
        return f"/vima/{name}"

    resolve_topic_name = resolve_service_name

    def get_publishers_info_by_topic(self, topic, no_mangle=False):
        assert no_mangle == topic.startswith("rr/")
        return self.publishers.get(topic, [])


def test_the_heartbeats_of_the_servers_process_count_whichever_of_its_nodes_serves():
    graph = Graph(
        {
            "rr/vima/stopReply": [endpoint(1, "arm_stop", 7)],
            "/vima/heartbeat": [endpoint(1, "arm"), endpoint(2, "policy")],
        }
    )
    assert server_heartbeats(graph, "stop")() == {"/vima/arm"}


def test_a_name_that_is_not_known_yet_is_waited_for():
    graph = Graph({"rr/vima/stopReply": [endpoint(1, "?")], "/vima/heartbeat": [endpoint(1, "?")]})
    names = server_heartbeats(graph, "stop")
    assert names() == {"/vima/?"}
    graph.publishers["/vima/heartbeat"] = [endpoint(1, "arm")]
    assert names() == {"/vima/arm"}


def test_a_server_outside_the_suite_publishes_no_heartbeats():
    graph = Graph(
        {"rr/vima/stopReply": [endpoint(3, "driver")], "/vima/heartbeat": [endpoint(1, "arm")]}
    )
    assert server_heartbeats(graph, "stop")() == set()


@pytest.mark.parametrize(
    ("servers", "known"),
    [([], False), ([endpoint(1, "_NODE_NAME_UNKNOWN_")], False), ([endpoint(1, "arm")], True)],
)
def test_a_server_is_known_once_the_graph_has_its_node(servers, known):
    assert server_is_known(Graph({"rr/vima/stopReply": servers}), "stop") == known
