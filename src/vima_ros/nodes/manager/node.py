"""The manager node: brings the others up in order, watches them, stops the arm when one dies."""

from __future__ import annotations

import sys
import time
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from std_srvs.srv import Trigger

from vima_msgs.msg import ArmCommand
from vima_ros.liveness import FINALIZED, INACTIVE, Supervisor
from vima_ros.nodes.common import qos
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.common.main import run
from vima_ros.nodes.manager.parameters import ManagerParameters

TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
}


class ManagerNode(VimaNode):
    """Configures and activates itself, then the others."""

    name = "manager"
    parameters_type = ManagerParameters

    def configure(self) -> None:
        """Create the handles for every node in ``nodes``."""
        p = self.parameters
        self._supervisor = Supervisor(tuple(p.nodes), p.heartbeat_timeout, p.transition_timeout)
        self._stop_owed, self._stop_asked = False, 0.0
        self._news, self._all_up = "", False
        self._deactivated: list[str] = []
        self._changers = {
            name: self.create_client(ChangeState, f"{name}/change_state") for name in p.nodes
        }
        self._stopper = self.create_client(Trigger, "stop")
        self._commands = self.create_publisher(ArmCommand, "arm_command", qos.RELIABLE)
        self.subscribe_heartbeats(
            lambda name, state, run: self._supervisor.on_heartbeat(
                name, state, time.monotonic(), run
            )
        )
        self.create_timer(0.1, self._watch, clock=self.steady_clock)

    def _watch(self) -> None:
        if not self.active:
            return
        now = time.monotonic()
        deaths = self._supervisor.find_dead(now)
        if deaths:
            self._on_deaths("; ".join(deaths))
        self._pay_stop(now)
        due = None if self._stop_comes_first() else self._supervisor.next_transition(now)
        if due:
            self._ask(*due)
        self._report(now)

    def _report(self, now: float) -> None:
        """Log what is new: all are up, nodes are missing, or someone deactivated one."""
        all_up, space = self._supervisor.all_active, self.get_namespace().rstrip("/")
        if all_up and not self._all_up:
            self._news = "all nodes active: " + ", ".join(self._supervisor.names)
            self.get_logger().info(self._news)
        self._all_up = all_up
        missing = self._supervisor.report_missing(now)
        if missing:
            self._news = f"waiting for {missing} in namespace {space or '/'}"
            self.get_logger().warning(f"{self._news}: is it started? Its log says why it ended")
        deactivated = self._supervisor.deactivated
        for name in set(deactivated) - set(self._deactivated):
            self._news = f"{name} was deactivated by a person"
            self.get_logger().warning(
                f"{self._news} and stays so until it is activated (ros2 lifecycle set "
                f"{space}/{name} activate) or started anew"
            )
        self._deactivated = deactivated

    def _ask(self, name: str, transition: str) -> None:
        request = ChangeState.Request(transition=Transition(id=TRANSITIONS[transition]))
        future = self._changers[name].call_async(request)
        future.add_done_callback(lambda done: self._on_answer(name, transition, done))

    def _on_answer(self, name: str, transition: str, future: Any) -> None:
        success = future.exception() is None and future.result().success
        if self._supervisor.on_response(name, success):
            self._news = f"{name} refused to {transition}: its log says why"
            self.get_logger().error(f"{self._news}; it is asked again, less and less often")

    def _on_deaths(self, sentence: str) -> None:
        """Stop the robot itself at once, and the arm node for good, until someone resumes."""
        self._news = sentence
        if self._supervisor.stop_required:
            self._supervisor.stop_required = False
            command = ArmCommand()  # no waypoints: stop now
            command.header.stamp = self.get_clock().now().to_msg()
            self._commands.publish(command)
            self._stop_owed, self._stop_asked = True, 0.0
            self._pay_stop(time.monotonic())
            sentence += "; the arm is stopped until resume is called"
        self.get_logger().error(sentence)

    def _stop_comes_first(self) -> bool:
        """Whether a restarted arm node has to be stopped before it may become active."""
        arm = self._supervisor.nodes.get("arm")
        return self._stop_owed and arm is not None and arm.state == INACTIVE and not arm.dead

    def _pay_stop(self, now: float) -> None:
        """Ask the arm node to stop until it says that it has, be it after a restart."""
        if self._stop_owed and now - self._stop_asked > 0.5 and self._stopper.service_is_ready():
            self._stop_asked = now
            self._stopper.call_async(Trigger.Request()).add_done_callback(self._on_stopped)

    def _on_stopped(self, future: Any) -> None:
        if future.exception() is None and future.result().success:
            self._stop_owed = False

    def on_duplicate_node(self) -> None:
        """End: a second manager has nothing to do."""
        sys.exit(2)

    def diagnose(self) -> tuple[bool, str, dict[str, Any]]:
        """Each node's state, and the last death."""
        names = {0: "never heard", 1: "unconfigured", 2: "inactive", 3: "active"}
        nodes = self._supervisor.nodes.items()
        values = {n: "dead" if w.dead else names.get(w.state, w.state) for n, w in nodes}
        values |= dict.fromkeys(self._supervisor.deactivated, "deactivated by a person")
        values |= {n: "ended" for n, w in nodes if w.state == FINALIZED}
        return self._supervisor.all_active, self._news, values


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros manager``."""
    run(ManagerNode, args, autostart=True)
