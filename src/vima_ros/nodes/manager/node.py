"""Manager node: activates the other nodes in order, and stops the arm when one of them dies."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.task import Future
from std_srvs.srv import Trigger

from vima_msgs.msg import ArmCommand
from vima_ros.errors import VimaError
from vima_ros.liveness import FINALIZED, INACTIVE, Supervisor
from vima_ros.nodes.common import node_names, qos
from vima_ros.nodes.common.diagnostics import ERROR, OK, WARN, FunctionStatus
from vima_ros.nodes.common.heartbeat import STATE_NAMES
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.common.main import run
from vima_ros.nodes.manager.parameters import ManagerParameters
from vima_ros.nodes.manager.shared_parameters import SharedParameters

TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
}


class ManagerNode(VimaNode[ManagerParameters]):
    """Configures and activates itself, then the managed nodes."""

    name = node_names.MANAGER
    parameters_type = ManagerParameters

    def configure(self) -> None:
        """Create the handles for each of the managed nodes."""
        p = self.parameters
        self._supervisor = Supervisor(tuple(p.nodes), p.heartbeat_timeout, p.transition_timeout)
        self._stop_pending, self._stop_requested_at = False, 0.0
        self._last_event, self._all_active = "", False
        self._deactivated: list[str] = []
        self._change_state_clients = {
            name: self.create_client(ChangeState, f"{name}/change_state") for name in p.nodes
        }
        self._shared_parameters = SharedParameters(self, p.nodes)
        self._stop_client = self.create_client(Trigger, "stop")
        self._commands = self.create_publisher(ArmCommand, "arm_command", qos.RELIABLE)
        self.subscribe_heartbeats(
            lambda name, state, run: self._supervisor.on_heartbeat(
                name, state, time.monotonic(), run
            )
        )
        self.create_timer(0.1, self._check, clock=self.steady_clock)

    def _check(self) -> None:
        if not self.active:
            return
        now = time.monotonic()
        deaths = self._supervisor.find_dead(now)
        if deaths:
            self._handle_deaths("; ".join(map(str, deaths)))
        self._request_stop(now)
        known = self._shared_parameters.update(self._supervisor.nodes, now)
        blocked = self._stop_pending_blocks_activation() or not known
        due = None if blocked else self._supervisor.next_transition(now)
        if due:
            self._request_transition(*due)
        self._log_changes(now)

    def _log_changes(self, now: float) -> None:
        """Log if all nodes became active, nodes are missing, or a person deactivated one."""
        all_active, namespace = self._supervisor.all_active, self.get_namespace().rstrip("/")
        if all_active and not self._all_active:
            self._last_event = "all nodes active: " + ", ".join(self._supervisor.names)
            self.get_logger().info(self._last_event)
        self._all_active = all_active
        missing = self._supervisor.report_missing(now)
        if missing:
            self._last_event = f"waiting for {missing} in namespace {namespace or '/'}"
            self.get_logger().warning(
                f"{self._last_event}: was it started? Its log has the reason if it ended"
            )
        deactivated = self._supervisor.deactivated
        for name in set(deactivated) - set(self._deactivated):
            self._last_event = f"{name} was deactivated by a person"
            self.get_logger().warning(
                f"{self._last_event} and stays inactive until it is activated (ros2 lifecycle set "
                f"{namespace}/{name} activate) or restarted"
            )
        self._deactivated = deactivated

    def _request_transition(self, name: str, transition: str) -> None:
        try:
            self._shared_parameters.check(name)
        except VimaError as error:
            self._on_refusal(name, f"{name} is not brought up: {error.code}: {error}")
            return
        request = ChangeState.Request(transition=Transition(id=TRANSITIONS[transition]))
        future = self._change_state_clients[name].call_async(request)
        future.add_done_callback(lambda done: self._on_response(name, transition, done))

    def _on_response(self, name: str, transition: str, future: Future) -> None:
        if future.exception() is None and future.result().success:
            self._supervisor.on_response(name, success=True)
        else:
            self._on_refusal(name, f"{name} refused to {transition}: its log has the reason")

    def _on_refusal(self, name: str, why: str) -> None:
        if self._supervisor.on_response(name, success=False):
            self._last_event = why
            self.get_logger().error(f"{why}; it is tried again, less and less often")

    def _handle_deaths(self, sentence: str) -> None:
        """Stop the robot at once, and the arm node until somebody calls resume."""
        self._last_event = sentence
        if self._supervisor.stop_required:
            self._supervisor.stop_required = False
            command = ArmCommand()  # no waypoints: stop now
            command.header.stamp = self.get_clock().now().to_msg()
            self._commands.publish(command)
            self._stop_pending, self._stop_requested_at = True, 0.0
            self._request_stop(time.monotonic())
            sentence += "; the arm is stopped until resume is called"
        self.get_logger().error(sentence)

    def _stop_pending_blocks_activation(self) -> bool:
        """Return True if a restarted arm node has to be stopped before its activation."""
        arm = self._supervisor.nodes.get(node_names.ARM)
        return self._stop_pending and arm is not None and arm.state == INACTIVE and not arm.dead

    def _request_stop(self, now: float) -> None:
        """Request a stop of the arm node until it confirms it, also after a restart."""
        if (
            self._stop_pending
            and now - self._stop_requested_at > 0.5
            and self._stop_client.service_is_ready()
        ):
            self._stop_requested_at = now
            self._stop_client.call_async(Trigger.Request()).add_done_callback(self._on_stopped)

    def _on_stopped(self, future: Future) -> None:
        if future.exception() is None and future.result().success:
            self._stop_pending = False

    def on_duplicate_node(self) -> None:
        """End the node: a second manager is of no use."""
        sys.exit(2)

    def diagnose(self) -> Iterator[FunctionStatus]:
        """Report the state of each node, and the last event."""
        nodes, up = self._supervisor.nodes.items(), self._supervisor.all_active
        values = {n: "dead" if w.dead else STATE_NAMES.get(w.state, w.state) for n, w in nodes}
        values |= dict.fromkeys(self._supervisor.deactivated, "deactivated by a person")
        values |= {n: "ended" for n, w in nodes if w.state == FINALIZED}
        level = OK if up else ERROR if any(w.dead for _, w in nodes) else WARN
        yield FunctionStatus("nodes", level, self._last_event, values)


def main(args: list[str] | None = None) -> None:
    """Run the manager node (``ros2 run vima_ros manager``)."""
    run(ManagerNode, args, autostart=True)
