"""Check that keeps a program from starting nodes beside a running suite."""

from __future__ import annotations

from lifecycle_msgs.msg import State

from vima_msgs.msg import Heartbeat
from vima_ros.client.client import Client
from vima_ros.errors import VimaError, WaitTimeoutError
from vima_ros.liveness import NodeInstance
from vima_ros.nodes.common.heartbeat_listener import DUPLICATE_WAIT

DISCOVERY_TIME = 3.0  # within which the first heartbeat of a running suite arrives [s]


def check_no_running_suite(client: Client) -> None:
    """Check that no node of the suite runs in the client's namespace and domain.

    Call it before nodes are started there: their managers would stop one another's robot.

    Raises VimaError (SUITE_RUNNING) naming the running nodes, their processes and hosts.
    """
    heartbeats = client.subscribe(Heartbeat, "heartbeat")
    namespace = client.node.get_namespace().rstrip("/")

    def lives(heartbeat: Heartbeat) -> bool:
        ended = heartbeat.state == State.PRIMARY_STATE_FINALIZED
        return not ended and heartbeat.node.rpartition("/")[0] == namespace

    try:
        heartbeats.wait(lives, DISCOVERY_TIME, "heartbeat", quiet=True)
        heartbeats.wait(lambda _: False, DUPLICATE_WAIT, "all heartbeats", quiet=True)
    except WaitTimeoutError:
        pass
    last = {(each.node, each.instance_id): each for each in heartbeats.messages}
    running = sorted(
        f"{each.node} ({NodeInstance(each.instance_id, each.state, each.host, each.process_id)})"
        for each in last.values()
        if lives(each)
    )
    if running:
        raise VimaError(
            "SUITE_RUNNING",
            f"a suite runs in namespace {namespace or '/'} already: {', '.join(running)}; valid: "
            "end it first, or choose another ROS_DOMAIN_ID or, where there is one, --namespace",
        )
