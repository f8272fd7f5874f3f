"""Make a virtual environment that holds the ROS 2 wheels usable as an underlay for colcon.

Run with the environment's own Python. Safe to run again; takes well under a second.
"""

import re
import sys
import sysconfig
from pathlib import Path

import numpy

# The wheels carry the include folders of the machine they were built on; CMake stops at them.
FOREIGN_PYTHON = re.compile(r"/opt/python/[^;\"]*?/include/python3\.\d+")
FOREIGN_NUMPY = re.compile(r"/[^;\"]*?/numpy/(?:_core|core)/include")

PREFIX_HOOK = """\
# Makes this virtual environment an ament prefix; colcon's install/setup.* chains it.
AMENT_PREFIX_PATH="{prefix}${{AMENT_PREFIX_PATH:+:$AMENT_PREFIX_PATH}}"
PATH="{prefix}/bin:$PATH"
export AMENT_PREFIX_PATH PATH
"""


def fix_include_folders(prefix: Path) -> int:
    """Point the exported CMake files at this Python and numpy; return the number of changes."""
    changed = 0
    for path in prefix.glob("share/*/cmake/export_*__rosidl_generator_pyExport.cmake"):
        old = path.read_text()
        new = FOREIGN_PYTHON.sub(sysconfig.get_path("include"), old)
        new = FOREIGN_NUMPY.sub(numpy.get_include(), new)
        if new != old:
            path.write_text(new)
            changed += 1
    return changed


def write_prefix_hooks(prefix: Path) -> None:
    """Let colcon find and chain the environment as an underlay."""
    for name in ("local_setup.sh", "local_setup.bash", "setup.sh", "setup.bash"):
        (prefix / name).write_text(PREFIX_HOOK.format(prefix=prefix))


if __name__ == "__main__":
    environment = Path(sys.prefix)
    print(f"{fix_include_folders(environment)} CMake files of the ROS 2 wheels corrected")
    write_prefix_hooks(environment)
