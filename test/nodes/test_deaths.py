"""kill -9 of any node stops the arm and the log says which; restarted, it is brought up again."""

import pytest
from conftest import ALL_NODES
from std_srvs.srv import Trigger

from vima_msgs.msg import ArmCommand, ArmState, Heartbeat

ACTIVE = 3
LIVENESS = {}  # as configured


@pytest.mark.parametrize("victim", ALL_NODES)
def test_a_death_stops_the_arm_and_is_named_and_recovers(suite, victim):
    states = suite.client.subscribe(ArmState, "arm_state")
    commands = suite.client.subscribe(ArmCommand, "arm_command")
    states.wait(lambda m: m.end_effector == ArmState.SUCTION, 15, "arm_state")

    suite.processes.kill(victim)

    stop = commands.wait(lambda m: True, 15, f"stop command after the death of {victim}")
    assert len(stop.waypoints) == 0
    # Who is left to say it: the arm node for a dead manager, else the manager.
    witness = "arm" if victim == "manager" else "manager"
    sentence = f"{victim} died: no heartbeat"  # logged only after the command has left
    suite.client.wait_until(lambda: sentence in suite.processes.log(witness), f"{sentence!r}")
    if victim != "tabletop":
        states.wait(lambda m: m.state == ArmState.STOPPED, 15, "STOPPED")

    beats = suite.client.subscribe(Heartbeat, "heartbeat")
    suite.processes.start([victim], suite.parameters)
    beats.wait(
        lambda m: m.node == f"/vima/{victim}" and m.state == ACTIVE, 60, f"{victim} active again"
    )
    # Whoever died, the arm itself too: it is stopped until someone resumes it.
    resumed = suite.client.call(Trigger, "resume", Trigger.Request())
    assert resumed.success
    assert "was not stopped" not in resumed.message
    if victim != "arm":  # which was not there to notice
        assert f"{victim} died" in resumed.message
    suite.wait_until_up()
