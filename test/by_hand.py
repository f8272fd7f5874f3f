"""A node brought up without the manager."""

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState

from vima_msgs.msg import Heartbeat
from vima_ros.nodes.common import qos

STEPS = {
    Transition.TRANSITION_CONFIGURE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_ACTIVATE: State.PRIMARY_STATE_ACTIVE,
}


def bring_up(client, name, steps=STEPS):
    """Configure and activate it, or as ``steps`` say.

    Its heartbeat tells: the answer to a first call may be lost.
    """
    beats = client.subscribe(Heartbeat, "heartbeat", qos.RELIABLE)
    for transition, state in steps.items():
        service = client.wait_for_service(ChangeState, f"{name}/change_state")
        before = beats.count
        service.call_async(ChangeState.Request(transition=Transition(id=transition)))
        beats.wait(
            lambda m, state=state: m.node.endswith(f"/{name}") and m.state == state,
            60,
            f"{name} in state {state}",
            before,
        )
