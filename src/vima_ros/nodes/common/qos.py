"""Quality of service of every topic, each for a reason."""

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

# Images and joint states, as their drivers publish: a lost one is replaced by the next.
SENSOR_DATA = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
# Actions, commands, states, heartbeats: each message counts.
RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
# Prompts, tokens, statuses, what a policy reads: the present value, also for late subscribers.
LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
