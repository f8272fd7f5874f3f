"""Suction gripper of a model, and the contacts of any tool."""

from __future__ import annotations

import numpy as np

from vima_ros.sim.model.mujoco_backend import mujoco
from vima_ros.sim.model.scene_model import TOOL, body_name, weld_name
from vima_ros.sim.scene import Scene
from vima_ros.specs import EndEffector


class SuctionGripper:
    """Suction gripper that carries the movable object under its cup rigidly.

    With a spatula it grasps nothing; ``contact_bodies`` is valid for any tool.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, scene: Scene) -> None:
        self._model, self._data = model, data
        self._tool = model.body(TOOL).id
        self._tip = model.body_geomadr[self._tool]  # the tool's only geom with collisions
        self._movable = {
            model.body(body_name(item.name)).id: item.name
            for item in scene.objects
            if item.scaled_shape.movable and scene.end_effector == EndEffector.SUCTION
        }
        self._body = -1  # the carried body, or -1

    @property
    def holding(self) -> str | None:
        """Name of the carried object, or None."""
        return self._movable.get(self._body)

    @property
    def contact_bodies(self) -> np.ndarray:
        """Ids (n,) of the bodies in contact with the tool or the carried object; 0: the table."""
        bodies = self._model.geom_bodyid[self._data.contact.geom]  # (contacts, 2)
        own = (bodies == self._tool) | (bodies == self._body)
        return bodies[~own & own[:, ::-1]]

    def grasp(self) -> str | None:
        """Carry the movable object that the cup touches; return its name, or None if none."""
        candidates = [int(body) for body in self.contact_bodies if int(body) in self._movable]
        if self._body >= 0 or not candidates:
            return self.holding
        self._body = candidates[0]
        weld = self._model.equality(weld_name(self._movable[self._body])).id
        self._model.eq_data[weld, :3] = 0.0  # anchor: the object's frame
        self._model.eq_data[weld, 3:10] = self._relative_pose()
        self._set_weld(weld, True)
        return self.holding

    def release(self) -> None:
        """Release the carried object, if any."""
        if self.holding is not None:
            self._set_weld(self._model.equality(weld_name(self.holding)).id, False)
            self._body = -1

    def _set_weld(self, weld: int, active: bool) -> None:
        self._data.eq_active[weld] = active
        # The carried object covers the tip: with collisions the two would push each other apart.
        self._model.geom_contype[self._tip] = self._model.geom_conaffinity[self._tip] = not active

    def _relative_pose(self) -> np.ndarray:
        """Return the object's pose in the tool's frame, (7,): position [m], quaternion wxyz."""
        poses = []
        for body in (self._tool, self._body):
            poses.append((self._data.xpos[body], self._data.xquat[body]))
        (tool_position, tool_quaternion), (position, quaternion) = poses
        inverse, offset, turn = np.zeros(4), np.zeros(3), np.zeros(4)
        mujoco.mju_negQuat(inverse, tool_quaternion)
        mujoco.mju_rotVecQuat(offset, position - tool_position, inverse)
        mujoco.mju_mulQuat(turn, inverse, quaternion)
        return np.concatenate([offset, turn])
