"""DDS transport and log folder, as the suite's processes share them."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from xml.parsers import expat

from vima_ros import shared_memory
from vima_ros.errors import VimaError
from vima_ros.nodes.common.ros_domain import check_domain
from vima_ros.paths import config_path
from vima_ros.program import at_exit
from vima_ros.shared_memory import MIB, REMEDY

# Fast DDS 3 renamed what Fast DDS 2 reads, and does not read the old names.
_NAMES = ("FASTDDS", "FASTRTPS")
if os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy"):
    _NAMES = ("FASTRTPS", "FASTDDS")
PROFILE_VARIABLES = tuple(f"{name}_DEFAULT_PROFILES_FILE" for name in _NAMES)
PROFILE_VARIABLE = PROFILE_VARIABLES[0]
PROFILE_FILES = tuple(f"DEFAULT_{name}_PROFILES.xml" for name in _NAMES)
PROFILE, SMALL_PROFILE = "fastdds.xml", "fastdds_small.xml"  # of config/
# Per process, rounded up: the profile's segment, a second one of 0.5 MiB, two ports.
NEED, SMALL_NEED = 35 * MIB, 4 * MIB
PROCESSES = 8  # of a suite: six nodes and two clients


def prepare_ros() -> None:
    """Check and set the environment variables that ROS reads; call it before rclpy.init.

    Removes files that killed processes left in /dev/shm, and at exit those of this process.

    Raises VimaError (BAD_ENVIRONMENT, SHARED_MEMORY).
    """
    check_domain()
    _check_log_folder()
    shared_memory.remove_unused()
    _remove_at_exit()
    use_fastdds_profile()


@cache
def _remove_at_exit() -> None:
    at_exit(lambda: shared_memory.remove_unused(at_exit=True))


def _check_log_folder() -> None:
    """Check the folder that rcl logs to: rcl itself would only raise or abort."""
    home = os.environ.get("HOME", "")
    if given := os.environ.get("ROS_LOG_DIR"):
        why, text = "ROS_LOG_DIR", given
    elif given := os.environ.get("ROS_HOME"):
        why, text = "ROS_HOME", f"{given}/log"
    else:
        why, text = "HOME", "~/.ros/log"
    if text.startswith("~") and not home:
        raise VimaError(
            "BAD_ENVIRONMENT",
            "HOME is not set, so that ROS has no folder for its logs; valid: a HOME, or "
            "ROS_LOG_DIR with a folder that this user can write to",
        )
    folder = Path(home + text[1:] if text.startswith("~") else text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(folder, os.W_OK | os.X_OK) else "it is not writable"
    except OSError as error:
        reason = str(error.strerror)
    if reason:
        raise VimaError(
            "BAD_ENVIRONMENT",
            f"ROS cannot log to {folder} (by {why}): {reason}; valid: ROS_LOG_DIR with a folder "
            "that this user can write to",
        )


def user_profile() -> Path | None:
    """Return the Fast DDS profile of the user, from a variable or the working folder, or None.

    Raises VimaError (BAD_ENVIRONMENT) for a variable that names no file, and for a file that is
    no well-formed XML.
    """
    for variable in PROFILE_VARIABLES:
        text = os.environ.get(variable, "")
        if text and not _is_own(Path(text)):
            if not Path(text).is_file():
                raise VimaError(
                    "BAD_ENVIRONMENT",
                    f"{variable} is {text!r}: no file; valid: a Fast DDS profile, or nothing for "
                    "the suite's own",
                )
            _check_profile(Path(text), f"by {variable}")
            return Path(text)
    if os.environ.get("SKIP_DEFAULT_XML_FILE", "")[:1] != "1":
        for name in PROFILE_FILES:
            if Path(name).is_file():
                _check_profile(Path(name).absolute(), "in the working folder")
                return Path(name).absolute()
    return None


def _is_own(path: Path) -> bool:
    """Return whether a parent process, of any installation, has chosen this profile."""
    own = (config_path(name).read_bytes() for name in (PROFILE, SMALL_PROFILE))
    return path.is_file() and os.access(path, os.R_OK) and path.read_bytes() in own


def _check_profile(path: Path, origin: str) -> None:
    """Check that a profile can be parsed: Fast DDS would ignore it, or end the process."""
    try:
        expat.ParserCreate().Parse(path.read_bytes().lstrip(), True)
        return
    except OSError as error:
        reason = str(error.strerror)
    except (expat.ExpatError, LookupError, ValueError) as error:
        reason = f"not well-formed XML: {error}"
    raise VimaError(
        "BAD_ENVIRONMENT",
        f"the Fast DDS profile {path} ({origin}) cannot be read: {reason}; valid: well-formed "
        "XML, <dds>…</dds>",
    )


def use_fastdds_profile() -> None:
    """Select the profile that large best-effort images need, unless the user has chosen one.

    Call it before rclpy.init. Raises VimaError (SHARED_MEMORY, BAD_ENVIRONMENT).
    """
    chosen = user_profile()
    if chosen is None:
        chosen = config_path(fitting_profile())
    elif chosen.name == PROFILE_FILES[0] and chosen.parent == Path.cwd():
        os.environ.pop(PROFILE_VARIABLE, None)  # Fast DDS finds it by itself
        return
    os.environ[PROFILE_VARIABLE] = str(chosen)


@cache  # Fast DDS reads a profile once per process
def fitting_profile() -> str:
    """Return the profile that fits into /dev/shm. Raises VimaError (SHARED_MEMORY)."""
    if "fastrtps" not in os.environ.get("RMW_IMPLEMENTATION", "fastrtps"):
        return PROFILE
    if not shared_memory.is_writable():
        raise VimaError("SHARED_MEMORY", shared_memory.NOT_WRITABLE)
    size, free = shared_memory.room()
    if size >= PROCESSES * NEED and free >= NEED:
        return PROFILE
    room = f"{shared_memory.FOLDER} has {size / MIB:.0f} MiB, {free / MIB:.0f} of them free"
    if size < PROCESSES * SMALL_NEED or free < SMALL_NEED:
        raise VimaError(
            "SHARED_MEMORY",
            f"{room}; valid: {SMALL_NEED // MIB} MiB for each of {PROCESSES} processes, "
            f"{NEED // MIB} for images of more than 3 MB ({REMEDY}), or a Fast DDS profile of "
            f"your own in {PROFILE_VARIABLE}",
        )
    print(
        f"{Path(sys.argv[0]).name}: {room}: images of more than 3 MB will not arrive, for which "
        f"{PROCESSES * NEED // MIB} MiB are needed ({REMEDY})",
        file=sys.stderr,
        flush=True,
    )
    return SMALL_PROFILE
