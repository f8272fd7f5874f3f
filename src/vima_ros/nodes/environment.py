"""The environment that processes of the suite share: discovery and transport."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

from vima_ros.errors import VimaError
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


def free_domain() -> int:
    """A ROS domain, 1 to 100, that no other run of ours on this machine has.

    A lock keeps it until this process ends, however it ends.
    """
    for shift in range(100):
        domain = 1 + (os.getpid() + shift) % 100
        path = Path(tempfile.gettempdir()) / f"vima_ros_domain_{domain}.lock"
        try:
            file = os.open(path, os.O_CREAT | os.O_RDONLY, 0o644)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another run's, or another user's
            continue
        return domain
    raise VimaError("NO_DOMAIN", "all of the ROS domains 1 to 100 are in use; set ROS_DOMAIN_ID")


def keep_to_ourselves() -> None:
    """A domain of our own on this machine alone, unless the user chose one."""
    if "ROS_DOMAIN_ID" not in os.environ:
        os.environ["ROS_DOMAIN_ID"] = str(free_domain())
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_LOCALHOST_ONLY", "1")  # the same before Iron
