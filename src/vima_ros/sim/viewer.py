"""MuJoCo's viewer: a window that shows the simulation."""

from __future__ import annotations

import os
import sys
import threading
import warnings

from vima_ros.errors import VimaError
from vima_ros.sim.model.mujoco_backend import mujoco

_CLOSE_TIMEOUT = 5.0  # of the viewer's threads [s]


def check_display() -> None:
    """Raise VimaError (NO_DISPLAY) if no window can be opened.

    MuJoCo itself would wait forever.
    """
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        raise _no_display("neither DISPLAY nor WAYLAND_DISPLAY is set")
    import glfw

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GLFW reports errors as warnings
        if not glfw.init():
            names = ("DISPLAY", "WAYLAND_DISPLAY")
            raise _no_display(" ".join(f"{n}={os.environ[n]}" for n in names if n in os.environ))


def _no_display(reason: str) -> VimaError:
    return VimaError(
        "NO_DISPLAY",
        f"no window can be opened: {reason}; valid: a desktop, or ssh -X. Without one, the topics "
        "front/image_raw and top/image_raw show the tabletop too",
    )


class Viewer:
    """Window that shows a model, with a thread of its own."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        """Open the window. Raises VimaError (NO_DISPLAY)."""
        check_display()
        import mujoco.viewer  # it loads GLFW

        others = set(threading.enumerate())
        self._handle = mujoco.viewer.launch_passive(
            model, data, show_left_ui=False, show_right_ui=False
        )
        self._threads = set(threading.enumerate()) - others
        with self._handle.lock():
            camera = self._handle.cam
            camera.lookat[:], camera.distance = [0.4, 0.0, 0.2], 2.0
            camera.azimuth, camera.elevation = -145.0, -30.0

    def sync(self) -> None:
        """Show the current state, unless the user has closed the window."""
        if self._handle.is_running():
            self._handle.sync()

    def close(self) -> None:
        """Close the window and wait for its threads: they must not outlive the model."""
        self._handle.close()
        for thread in self._threads:
            thread.join(_CLOSE_TIMEOUT)
