"""Where pictures are drawn: MuJoCo's renderer, with one OpenGL context a thread.

A new OpenGL context costs 60 ms at its first texture, a model in a context that is there 3 ms. So
each thread keeps its context until it ends; what belongs to a model is freed by ``close``.

OpenGL's threads and locks do not survive a fork: a process forked from one that has drawn would
wait for them for ever. There nothing is drawn and nothing freed.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.sim.model.mujoco_backend import mujoco, no_renderer

_thread = threading.local()
_contexts: weakref.WeakSet = weakref.WeakSet()
_orphans: list[mujoco.MjrContext] = []  # whose thread or process did not close them
_used = False  # OpenGL was used in this process, or in one that it was forked from
_forked = False  # the latter


class Canvas:
    """Draws one model, from any camera. Create, use and close it in one thread."""

    def __init__(
        self, model: mujoco.MjModel, width: int, height: int, samples: int, shadows: int
    ) -> None:
        """``samples`` a pixel (0: sharp edges); ``shadows``: size of the shadow map [px].

        Raises VimaError: NO_RENDERER, FORKED.
        """
        # All read when MuJoCo's context is made.
        model.vis.quality.offsamples, model.vis.quality.shadowsize = samples, shadows
        model.vis.global_.offwidth, model.vis.global_.offheight = width, height
        self._model = model
        self._rectangle = mujoco.MjrRect(0, 0, width, height)
        self._buffer = np.empty((height, width, 3), np.uint8)
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._geoms: np.ndarray | None = None
        self._closed, self._thread = True, threading.get_ident()
        try:
            self.scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 100)
            self._opengl = _opengl()
            self._opengl.make_current()
            self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50.value)
        except (ImportError, AttributeError, OSError, RuntimeError, mujoco.FatalError) as error:
            raise no_renderer(error) from error
        self._closed = False

    def look(self, data: mujoco.MjData, camera: str, option: mujoco.MjvOption) -> None:
        """Bring ``scene`` up to date for a camera of the model."""
        self._camera.fixedcamid = self._model.camera(camera).id
        every = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self._model, data, option, None, self._camera, every, self.scene)

    def rgb(self) -> np.ndarray:
        """(height, width, 3) uint8 RGB of ``scene``. Raises VimaError: FORKED."""
        _check_not_forked()
        self._opengl.make_current()
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        mujoco.mjr_render(self._rectangle, self.scene, self._context)
        mujoco.mjr_readPixels(self._buffer, None, self._rectangle, self._context)
        return self._buffer[::-1].copy()  # OpenGL's first row is at the bottom

    def geoms(self) -> np.ndarray:
        """(height, width) int: the number of the model's geom at each pixel, -1 for none."""
        flags = self.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
        try:
            image = self.rgb().astype(np.uint32)
        finally:
            flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = False
        segments = image[..., 0] + (image[..., 1] << 8) + (image[..., 2] << 16)
        if self._geoms is None or len(self._geoms) != self.scene.ngeom + 1:
            self._geoms = np.full(self.scene.ngeom + 1, -1)
            for geom in self.scene.geoms[: self.scene.ngeom]:
                if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                    self._geoms[geom.segid + 1] = geom.objid
        return self._geoms[segments]

    def close(self) -> None:
        """Free what belongs to the model; once is enough."""
        if not self._closed and _contexts and not _forked:
            self._closed = True
            self._opengl.make_current()
            self._context.free()

    def __del__(self) -> None:
        # MuJoCo would free the same names in whatever context is current in this thread.
        if threading.get_ident() == self._thread and not _forked:
            self.close()
        elif not self._closed:
            _orphans.append(self._context)


def _check_not_forked() -> None:
    if _forked:
        raise VimaError(
            "FORKED",
            "this process was forked from one that had rendered before, and OpenGL does not "
            "survive a fork; valid: processes started by spawn, as with gymnasium.make_vec(..., "
            'vectorization_mode="async", vector_kwargs={"context": "spawn"}), '
            'AsyncVectorEnv(..., context="spawn"), multiprocessing.get_context("spawn") or '
            'DataLoader(..., multiprocessing_context="spawn")',
        )


def _opengl() -> mujoco.GLContext:
    """The context of this thread."""
    global _used
    _check_not_forked()
    if not hasattr(_thread, "context"):
        _used = True
        _thread.context = mujoco.GLContext(1, 1)
        if not _contexts:  # after MuJoCo's own, so that it comes before it
            atexit.register(_free)
        _contexts.add(_thread.context)
    return _thread.context


def _free() -> None:
    """Let go of the contexts while OpenGL is still there."""
    if not _forked:
        for context in list(_contexts):
            context.free()
    _contexts.clear()


def _note_fork() -> None:
    """In a new process: OpenGL may have been used by us, or by others through MuJoCo's EGL."""
    global _forked
    display = getattr(sys.modules.get("mujoco.egl"), "EGL_DISPLAY", None)
    _forked = _forked or _used or display is not None


os.register_at_fork(after_in_child=_note_fork)
