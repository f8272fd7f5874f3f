"""Reports of the arm node on its commands."""

from __future__ import annotations

from vima_msgs.msg import ArmState
from vima_ros.errors import VimaError
from vima_ros.nodes.arm.parameters import ArmParameters
from vima_ros.nodes.common import conversions, qos
from vima_ros.nodes.common.lifecycle_node import VimaNode


class MotionReports:
    """Publisher of ``arm_state`` with ``judged`` true; logs what it publishes.

    ``last``: code and message of the last report.
    """

    def __init__(self, node: VimaNode[ArmParameters]) -> None:
        self._node, self.last = node, "no action received yet"
        self._publisher = node.create_publisher(ArmState, "arm_state", qos.RELIABLE)

    def refuse(self, error: VimaError, command_id: str) -> None:
        """Report why an action does not become motion."""
        self._node.statistics.record_refusal(error.code, str(error))
        self.publish(ArmState.REFUSED, error.code, str(error), command_id)

    def publish(
        self, state: int, code: str, message: str, command_id: str = "", since: int | None = None
    ) -> None:
        """Report the state of a command, or of the arm; ``since`` [ns], None: now."""
        report = ArmState(state=state, code=code, message=message, command_id=command_id)
        now = self._node.now_ns()
        report.header.stamp = conversions.ns_to_stamp(now)
        report.since = conversions.ns_to_stamp(now if since is None else since)
        report.judged = True
        self._publisher.publish(report)
        self.last = f"{code}: {message}"
        line = f"{self.last} [{command_id}]" if command_id else self.last
        if code in (ArmState.OK, ArmState.RESUMED):
            self._node.get_logger().info(line)
        else:
            self._node.get_logger().warning(line)
