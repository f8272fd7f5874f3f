"""Import of MuJoCo for this package, with offscreen rendering by EGL unless MUJOCO_GL is set.

MuJoCo reads the environment variable MUJOCO_GL when it is imported, so this module sets it first.
Raises VimaError on import: NOT_INSTALLED without mujoco, NO_RENDERER without an EGL library.
"""

import ctypes
import os

from vima_ros.errors import VimaError

os.environ.setdefault("MUJOCO_GL", "egl")


def no_renderer(error: Exception) -> VimaError:
    """Return the error for a missing renderer, with the packages to install."""
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
    # PyOpenGL raises an AttributeError without libEGL, an ArgumentError without libOpenGL.
    raise no_renderer(error) from error

__all__ = ["mujoco", "no_renderer"]
