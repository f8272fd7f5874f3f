"""MuJoCo, imported once for this package, rendering offscreen by EGL unless MUJOCO_GL says else.

MuJoCo reads the environment variable MUJOCO_GL when it is imported, so this module sets it first.
Raises VimaError on import: NOT_INSTALLED without mujoco, NO_RENDERER without an EGL library.
"""

import ctypes
import os

from vima_ros.errors import VimaError

os.environ.setdefault("MUJOCO_GL", "egl")


def no_renderer(error: Exception) -> VimaError:
    """What to install, as an error."""
    return VimaError(
        "NO_RENDERER",
        f"MuJoCo cannot render with MUJOCO_GL={os.environ['MUJOCO_GL']} ({error}); "
        "for egl: apt-get install libegl1 libopengl0 libgl1-mesa-dri",
    )


try:
    import mujoco
except ModuleNotFoundError as error:
    raise VimaError("NOT_INSTALLED", f"{error}; pip install mujoco") from error
except (ImportError, AttributeError, OSError, RuntimeError, ctypes.ArgumentError) as error:
    # PyOpenGL answers a missing libEGL with an AttributeError, a missing libOpenGL with an
    # ArgumentError.
    raise no_renderer(error) from error

__all__ = ["mujoco", "no_renderer"]
