"""ROS domain of the suite's processes: its check, and one of our own on this machine."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from pathlib import Path

from vima_ros.errors import VimaError

MAX_DOMAIN = 232  # beyond, there are no UDP ports
_C_INTEGER = re.compile(r"\s*\+?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")  # strtoul, base 0


def check_domain() -> None:
    """Check ROS_DOMAIN_ID. Raises VimaError (BAD_ENVIRONMENT)."""
    text = os.environ.get("ROS_DOMAIN_ID", "")
    found = _C_INTEGER.fullmatch(text)
    octal = found is not None and found[1][:1] == "0" and found[1][1:].isdigit()
    number = int(found[1], 8 if octal else 0) if found else -1
    if text and not 0 <= number <= MAX_DOMAIN:
        raise VimaError(
            "BAD_ENVIRONMENT",
            f"ROS_DOMAIN_ID is {text!r}; valid: a whole number from 0 to {MAX_DOMAIN}",
        )


def free_domain() -> int:
    """Reserve a ROS domain, 1 to 100, that no other run of ours on this machine uses.

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


def isolate_ros_domain() -> None:
    """Use a ROS domain of our own, on this machine alone, unless the user chose one."""
    if "ROS_DOMAIN_ID" not in os.environ:
        os.environ["ROS_DOMAIN_ID"] = str(free_domain())
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_LOCALHOST_ONLY", "1")  # the same before Iron
