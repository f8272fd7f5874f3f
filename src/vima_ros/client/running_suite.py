"""Programs that start nodes of their own do not do so beside a running suite."""

from __future__ import annotations

from lifecycle_msgs.msg import State

from vima_msgs.msg import Heartbeat
from vima_ros.client.client import Client
from vima_ros.errors import VimaError
from vima_ros.liveness import NodeInstance
from vima_ros.nodes.common.heartbeat_listener import DUPLICATE_WAIT

DISCOVERY = 3.0  # within which the first heartbeat of a running suite arrives [s]


def check_none_runs(client: Client) -> None:
    """Check that no node of the suite runs in the client's namespace and domain.

    To be called before nodes are started there: their managers would stop one another's robot.

    Raises VimaError (SUITE_RUNNING) naming the nodes heard, their processes and hosts.
    """
    beats = client.subscribe(Heartbeat, "heartbeat")
    namespace = client.node.get_namespace().rstrip("/")

    def lives(beat: Heartbeat) -> bool:
        ended = beat.state == State.PRIMARY_STATE_FINALIZED
        return not ended and beat.node.rpartition("/")[0] == namespace

    try:
        beats.wait(lives, DISCOVERY, "heartbeat", quiet=True)
        beats.wait(lambda _: False, DUPLICATE_WAIT, "all heartbeats", quiet=True)
    except VimaError:  # TIMEOUT
        pass
    last = {(beat.node, beat.instance_id): beat for beat in beats.messages}
    running = sorted(
        f"{beat.node} ({NodeInstance(beat.instance_id, beat.state, beat.host, beat.process_id)})"
        for beat in last.values()
        if lives(beat)
    )
    if running:
        raise VimaError(
            "SUITE_RUNNING",
            f"a suite runs in namespace {namespace or '/'} already: {', '.join(running)}; valid: "
            "end it first, or choose another ROS_DOMAIN_ID or, where there is one, --namespace",
        )
