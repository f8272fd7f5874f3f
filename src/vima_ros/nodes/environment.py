"""The environment that processes of the suite share: discovery and transport."""

from __future__ import annotations

import os

from vima_ros.nodes.parameters import config_path

# Fast DDS 3 renamed it; the old name is read still, with a warning.
PROFILE_VARIABLE = (
    "FASTRTPS_DEFAULT_PROFILES_FILE"
    if os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")
    else "FASTDDS_DEFAULT_PROFILES_FILE"
)


def use_fastdds_profile() -> None:
    """Let large best-effort images arrive (config/fastdds.xml); the user's own profile wins.

    Must be called before rclpy.init.
    """
    os.environ.setdefault(PROFILE_VARIABLE, str(config_path("fastdds.xml")))


def keep_to_ourselves() -> None:
    """A domain of our own on this machine alone, unless the user chose one."""
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_LOCALHOST_ONLY", "1")  # the same before Iron
