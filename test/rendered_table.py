"""A table as a camera sees it, made with OpenCV's own lens functions and plain ray casting."""

from dataclasses import dataclass, field

import cv2
import numpy as np

PER_METRE = 2000  # texture pixels
ORIGIN = np.array([-0.1, -0.8])  # [m] of the texture's first pixel's corner
SPAN = np.array([1.2, 1.6])  # [m] along x and y


def table_texture(grey=60, ground=225, workspace=((0.25, -0.5), (0.75, 0.5))):
    """(rows: x, columns: y) uint8: a plain sheet as large as the workspace on a light ground."""
    texture = np.full((SPAN * PER_METRE).astype(int), ground, np.uint8)
    (x0, y0), (x1, y1) = ((np.array(p) - ORIGIN) * PER_METRE for p in workspace)
    texture[round(x0) : round(x1), round(y0) : round(y1)] = grey
    return texture


def paste_board(texture, placed):
    """``texture`` with the board printed on it, its white rim included."""
    pixels = round(placed.board.square * PER_METRE)
    margin = pixels // 2
    image = placed.board.render(pixels, margin)
    # Sheet px (x right, y down) to board metres (x right, y up) to base metres to texture px.
    scale, top = placed.board.square / pixels, placed.board.size[1]
    to_board = np.array(
        [[scale, 0, (0.5 - margin) * scale], [0, -scale, top - (0.5 - margin) * scale], [0, 0, 1]]
    )
    c, s = np.cos(placed.yaw), np.sin(placed.yaw)
    to_base = np.array([[c, -s, placed.x], [s, c, placed.y], [0, 0, 1]])
    k = PER_METRE
    to_texture = np.array([[0, k, -ORIGIN[1] * k - 0.5], [k, 0, -ORIGIN[0] * k - 0.5], [0, 0, 1]])
    matrix, size = to_texture @ to_base @ to_board, texture.shape[::-1]
    ink = cv2.warpPerspective(image, matrix, size, flags=cv2.INTER_LINEAR)
    where = cv2.warpPerspective(np.full_like(image, 255), matrix, size, flags=cv2.INTER_NEAREST)
    return np.where(where > 0, ink, texture)


@dataclass
class PinholeCamera:
    """At ``position`` [m], looking at ``target`` on the table, turned by ``roll`` [rad]."""

    position: tuple = (1.35, 0.0, 0.85)
    target: tuple = (0.5, 0.0, 0.0)
    roll: float = 0.0
    size: tuple = (640, 480)
    focal: float = 480.0
    d: tuple = (0.0, 0.0, 0.0, 0.0, 0.0)
    fisheye: bool = False
    k: np.ndarray = field(init=False)
    rotation: np.ndarray = field(init=False)  # base to camera

    def __post_init__(self):
        width, height = self.size
        self.k = np.array(
            [[self.focal, 0, width / 2 - 3], [0, 1.01 * self.focal, height / 2 + 4], [0, 0, 1]]
        )
        forward = np.subtract(self.target, self.position)
        forward = forward / np.linalg.norm(forward)
        right = np.array([0.0, 1.0, 0.0])  # the image's right is +y, as in VIMA's views
        right = right - forward * (right @ forward)
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        c, s = np.cos(self.roll), np.sin(self.roll)
        self.rotation = np.array([c * right + s * down, c * down - s * right, forward])

    def show(self, points_m):
        """Camera px (n, 2) of table points (n, 2)."""
        points = np.column_stack([points_m, np.zeros(len(points_m))])
        turn, shift = cv2.Rodrigues(self.rotation)[0], -self.rotation @ np.array(self.position)
        if self.fisheye:
            d = np.array(self.d)
            return cv2.fisheye.projectPoints(points[:, None], turn, shift, self.k, d)[0][:, 0]
        return cv2.projectPoints(points, turn, shift, self.k, np.array(self.d))[0][:, 0]

    def rays(self, samples):
        """Directions x/z, y/z (h, w, 2) of ``samples`` squared rays a pixel.

        Computed for every fourth pixel and linear in between: a lens is smooth.
        """
        step, rim = 4, 16
        columns, rows = (
            (np.arange((length + 2 * rim) // step) + 0.5) * step - 0.5 - rim
            for length in self.size
        )
        pixels = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 1, 2)
        d, many = np.array(self.d), (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 100, 1e-9)
        if self.fisheye:
            rays = cv2.fisheye.undistortPoints(pixels, self.k, d)
        elif hasattr(cv2, "undistortPointsIter"):
            rays = cv2.undistortPointsIter(pixels, self.k, d, None, None, many)
        else:  # OpenCV 5
            rays = cv2.undistortPoints(pixels, self.k, d, criteria=many)
        rays = rays.reshape(len(rows), len(columns), 2)
        factor = step * samples
        fine = cv2.resize(rays, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
        rim *= samples
        return fine[rim:-rim, rim:-rim]

    def look_at(self, texture, samples=2):
        """RGB uint8 image (h, w, 3) of ``texture``, ``samples`` squared rays a pixel."""
        rays = self.rays(samples)
        rays = np.concatenate([rays, np.ones_like(rays[..., :1])], -1) @ self.rotation  # base
        with np.errstate(divide="ignore"):
            reach = np.where(rays[..., 2] < 0, -self.position[2] / rays[..., 2], np.nan)
        table = np.array(self.position[:2]) + rays[..., :2] * reach[..., None]
        place = ((table - ORIGIN) * PER_METRE - 0.5).astype(np.float32)  # row, column
        shown = cv2.remap(
            texture, place[..., 1], place[..., 0], cv2.INTER_LINEAR, borderValue=(240,)
        )
        small = cv2.resize(shown, self.size, interpolation=cv2.INTER_AREA)
        return np.repeat(small[..., None], 3, 2)
