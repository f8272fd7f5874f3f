"""A printed ChArUco board in front of a camera, as rays through its lens see it."""

from __future__ import annotations

import math

import cv2
import numpy as np
from rendered_table import PinholeCamera

TEXTURE = 60  # pixels of a square
SAMPLES = 3  # squared, rays per pixel


def turn(tilt, direction, spin=0.0):
    """(3, 3) board (x right, y up, z towards the camera) to camera; angles in degrees.

    ``tilt``: between the board and the image plane; ``direction``: of the board's side that comes
    nearer; ``spin``: of the board in its own plane.
    """
    facing = np.diag([1.0, -1.0, -1.0])
    axis = math.radians(direction)
    lean = cv2.Rodrigues(np.array([math.cos(axis), math.sin(axis), 0.0]) * math.radians(tilt))[0]
    around = cv2.Rodrigues(np.array([0.0, 0.0, math.radians(spin)]))[0]
    return lean @ facing @ around


class HeldBoard:
    """A board whose middle is at pixel ``at`` (x, y), ``distance`` [m] along the optical axis."""

    def __init__(self, board, camera: PinholeCamera, rotation, at, distance):
        self.board, self.camera, self.rotation = board, camera, rotation
        zero = np.zeros(3)
        pixel = np.array([[at]], dtype=float)
        ray = cv2.undistortPoints(pixel, camera.k, np.array(camera.d)).ravel()
        middle = np.array([*ray, 1.0]) * distance
        self.shift = middle - rotation @ np.array([*(np.array(board.size) / 2), 0.0])
        self.zero = zero

    def show(self, points):
        """Camera px (n, 2) of board points (n, 2) [m]."""
        points = np.column_stack([points, np.zeros(len(points))])
        vector = cv2.Rodrigues(self.rotation)[0]
        d = np.array(self.camera.d)
        return cv2.projectPoints(points, vector, self.shift, self.camera.k, d)[0][:, 0]

    @property
    def corners(self):
        """Camera px (n, 2) of the inner corners, by id."""
        return self.show(self.board.points)

    def inside(self, rim=4.0):
        """Whether all of the board is in the image, ``rim`` [px] from its edge."""
        width, height = self.board.size
        s = np.linspace(0, 1, 9)
        outline = np.concatenate(
            [
                np.column_stack([a, b])
                for a, b in (
                    (s * width, 0 * s), (s * width, 0 * s + height),
                    (0 * s, s * height), (0 * s + width, s * height),
                )
            ]
        )  # fmt: skip
        shown = self.show(outline)
        return bool((shown > rim).all() and (shown < np.array(self.camera.size) - 1 - rim).all())

    def image(self, texture=None, blur=0.6, noise=2.0, rng=None, ground=150, samples=SAMPLES):
        """RGB uint8; ``texture``: another print (uint8) than the board's own, as large."""
        camera, board = self.camera, self.board
        if texture is None:
            texture = board.picture(TEXTURE)
        rim = TEXTURE // 2
        texture = cv2.copyMakeBorder(texture, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=255)
        texture = cv2.copyMakeBorder(texture, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=ground)
        rays = camera.rays(samples)
        normal = self.rotation[:, 2]
        reach = (normal @ self.shift) / (rays @ normal[:2] + normal[2])
        points = np.concatenate([rays, np.ones_like(rays[..., :1])], -1) * reach[..., None]
        on_board = (points - self.shift) @ self.rotation[:, :2]  # [m]
        per_metre = TEXTURE / board.square
        x = on_board[..., 0] * per_metre - 0.5 + rim + 2
        y = (board.size[1] - on_board[..., 1]) * per_metre - 0.5 + rim + 2
        shown = cv2.remap(
            texture, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR,
            borderValue=(ground,),
        )  # fmt: skip
        image = cv2.resize(shown, camera.size, interpolation=cv2.INTER_AREA).astype(np.float64)
        if blur:
            image = cv2.GaussianBlur(image, (0, 0), blur)
        rng = rng or np.random.default_rng(0)
        image = 20 + 0.85 * image + rng.normal(0, noise, image.shape)
        return np.repeat(np.clip(np.round(image), 0, 255).astype(np.uint8)[..., None], 3, 2)
