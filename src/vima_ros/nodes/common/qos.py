"""Quality of service of every topic, each for a reason."""

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

# Cameras: as camera drivers publish; a lost frame is replaced by the next, an old one is useless.
CAMERA = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
# Each message counts: actions, commands, states, heartbeats.
RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
# The present value, also for who comes later: prompts, their tokens, status.
LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
