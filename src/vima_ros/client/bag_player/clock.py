"""/clock of a replay: the stamps of the images."""

from __future__ import annotations

from rosgraph_msgs.msg import Clock

from vima_msgs.msg import Heartbeat
from vima_ros.client.client import Client
from vima_ros.errors import WaitTimeoutError
from vima_ros.nodes.common import conversions
from vima_ros.nodes.common.node_names import MANAGED

PERIOD = 0.05  # [s]


class BagClock:
    """Publishes /clock on each change and every PERIOD.

    ``now`` [ns]; ``epoch``: number of times that it was set back.
    """

    def __init__(self, client: Client) -> None:
        self._client, self._publisher = client, client.create_publisher(Clock, "/clock")
        self.now = self.epoch = 0
        client.node.create_timer(PERIOD, self._publish)

    def set(self, stamp: int, epoch: int) -> None:
        """Advance to ``stamp`` [ns]; in a later ``epoch`` also back to it."""
        if epoch > self.epoch:
            self.epoch = epoch
            self.restart(stamp)
        self.now = max(self.now, stamp)
        self._publish()

    def restart(self, stamp: int) -> None:
        """Go to ``stamp`` [ns], back or forth, and wait until all nodes follow.

        Raises VimaError (TIMEOUT) naming those that do not.
        """
        self.now = stamp
        self._publish()
        missing = set(MANAGED)

        def all_follow(beat: Heartbeat) -> bool:
            if conversions.stamp_to_ns(beat.header.stamp) == stamp:
                missing.discard(beat.node.rpartition("/")[2])
            return not missing

        try:
            with self._client.subscribe(Heartbeat, "heartbeat") as beats:
                beats.wait(all_follow, 15, "heartbeat")
        except WaitTimeoutError as error:
            raise WaitTimeoutError(
                f"{sorted(missing)} do not follow /clock; valid: use_sim_time true", error.seconds
            ) from error

    def _publish(self) -> None:
        self._publisher.publish(Clock(clock=conversions.ns_to_stamp(self.now)))
