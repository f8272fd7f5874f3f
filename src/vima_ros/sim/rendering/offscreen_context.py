"""Offscreen rendering with MuJoCo, with one OpenGL context per thread.

A new OpenGL context costs 60 ms at its first texture, a model in an existing context 3 ms. So each
thread keeps its context until it ends; ``close`` frees what belongs to a model.

OpenGL's threads and locks do not survive a fork: a process forked from one that has rendered would
wait for them forever. There nothing is rendered and nothing freed.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import sys
import threading
import weakref

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.sim.model.mujoco_backend import mujoco, no_renderer

_thread = threading.local()
_contexts: weakref.WeakSet = weakref.WeakSet()
_orphans: list[mujoco.MjrContext] = []  # not closed by their own thread or process
_used = False  # OpenGL was used in this process, or in one that it was forked from
_forked = False  # the latter


class OffscreenContext:
    """Offscreen renderer of one model. Create, use and close it in one thread."""

    def __init__(
        self, model: mujoco.MjModel, width: int, height: int, samples: int, shadows: int
    ) -> None:
        """Create a renderer of images of ``width`` x ``height`` [px].

        ``samples``: samples per pixel (0: no anti-aliasing). ``shadows``: size of the shadow map
        [px].

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
        self._geom_ids: np.ndarray | None = None
        self._closed, self._thread = True, threading.get_ident()
        try:
            self.scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 100)
            self._gl_context = _opengl()
            self._gl_context.make_current()
            self._mjr_context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50.value)
        except (ImportError, AttributeError, OSError, RuntimeError, mujoco.FatalError) as error:
            raise no_renderer(error) from error
        self._closed = False

    def update_scene(self, data: mujoco.MjData, camera: str, option: mujoco.MjvOption) -> None:
        """Update ``scene`` for a camera of the model."""
        self._camera.fixedcamid = self._model.camera(camera).id
        category = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self._model, data, option, None, self._camera, category, self.scene)

    def render(self) -> np.ndarray:
        """Return ``scene`` as (height, width, 3) uint8 RGB. Raises VimaError (FORKED)."""
        _check_not_forked()
        self._gl_context.make_current()
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._mjr_context)
        mujoco.mjr_render(self._rectangle, self.scene, self._mjr_context)
        mujoco.mjr_readPixels(self._buffer, None, self._rectangle, self._mjr_context)
        return self._buffer[::-1].copy()  # OpenGL's first row is at the bottom

    def render_geom_ids(self) -> np.ndarray:
        """Return the id of the geom at each pixel, (height, width) int, -1 for none."""
        flags = self.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
        try:
            image = self.render().astype(np.uint32)
        finally:
            flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = False
        segments = image[..., 0] + (image[..., 1] << 8) + (image[..., 2] << 16)
        if self._geom_ids is None or len(self._geom_ids) != self.scene.ngeom + 1:
            self._geom_ids = np.full(self.scene.ngeom + 1, -1)
            for geom in self.scene.geoms[: self.scene.ngeom]:
                if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                    self._geom_ids[geom.segid + 1] = geom.objid
        return self._geom_ids[segments]

    def close(self) -> None:
        """Free what belongs to the model; further calls do nothing."""
        if not self._closed and _contexts and not _forked:
            self._closed = True
            self._gl_context.make_current()
            self._mjr_context.free()

    def __del__(self) -> None:
        # MuJoCo would free the same names in whatever context is current in this thread.
        if threading.get_ident() == self._thread and not _forked:
            self.close()
        elif not self._closed:
            _orphans.append(self._mjr_context)


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
    """Return the OpenGL context of this thread."""
    global _used
    _check_not_forked()
    if not hasattr(_thread, "context"):
        if not _used:
            _load_triton()
        _used = True
        _thread.context = mujoco.GLContext(1, 1)
        if not _contexts:  # registered after MuJoCo's handler, so that it runs before it
            atexit.register(_free)
        _contexts.add(_thread.context)
    return _thread.context


def _load_triton() -> None:
    """Import Triton, where it is installed, before Mesa: it would crash after it.

    It comes with PyTorch for CUDA, which imports it when a policy is loaded. Both bring an LLVM,
    and the loader gives Triton that of Mesa's software renderer.
    """
    with contextlib.suppress(ImportError):
        importlib.import_module("triton")


def _free() -> None:
    """Free the contexts while OpenGL is still loaded."""
    if not _forked:
        for context in list(_contexts):
            context.free()
    _contexts.clear()


def _on_fork() -> None:
    """Note in a forked process that OpenGL was used before, by us or through MuJoCo's EGL."""
    global _forked
    display = getattr(sys.modules.get("mujoco.egl"), "EGL_DISPLAY", None)
    _forked = _forked or _used or display is not None


os.register_at_fork(after_in_child=_on_fork)
