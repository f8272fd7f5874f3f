"""A printed ChArUco board in front of a camera, as rays through its lens see it."""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np
from rendered_table import PinholeCamera

TEXTURE = 60  # pixels of a square
SAMPLES = 3  # squared, rays per pixel


SETS = {  # of tilts [degrees], places and widths (both in image widths), for random images
    "good": "ten images as the document asks for",
    "one_way": "all tilted one way",
    "one_way_near": "all tilted one way, at one distance, in the middle",
    "parallel": "all parallel to the image plane, at several distances",
    "slight": "tilted by some 5 degrees",
    "same_distance": "tilted by up to 12 degrees, at one distance",
    "middle": "small, in the middle, tilted by 5 to 20 degrees",
    "few": "five images, tilted by up to 30 degrees",
    "far": "an eighth to a sixth of the image's width",
    "same": "one pose with the hand's trembling",
}


def random_camera(rng):
    """Of one of two sizes, with a lens as webcams have them."""
    size = ((640, 480), (1280, 720))[int(rng.random() < 0.3)]
    focal = size[0] * rng.uniform(0.75, 1.3)
    d = (rng.uniform(-0.2, 0.1), rng.uniform(0.0, 0.08), *rng.uniform(-0.001, 0.001, 2), 0.0)
    return PinholeCamera(size=size, focal=focal, d=d)


def random_set(kind, board, camera, rng):
    """Held boards (a list) of the ``kind`` in SETS."""
    count = 5 if kind == "few" else 10
    base, lean, spin0, width0 = (
        rng.uniform(0, 360), rng.uniform(15, 40), rng.uniform(0, 360), rng.uniform(0.35, 0.5),
    )  # fmt: skip
    held = []
    for number in range(10 * count):
        spin = 90 * rng.integers(4) + rng.normal(0, 8)
        around, anywhere = rng.uniform(0, 360), (0.1, 0.9)
        tilt, way, turned, places, widths = {
            "good": (
                rng.uniform(20, 40), 90 * number + rng.normal(0, 15), spin, anywhere, (0.4, 0.7),
            ),
            "one_way": (
                rng.normal(lean, 4), base + rng.normal(0, 8), spin, (0.2, 0.8), (0.3, 0.55),
            ),
            "one_way_near": (
                rng.normal(lean, 4), base + rng.normal(0, 8), spin0 + rng.normal(0, 5),
                (0.3, 0.7), (0.95 * width0, 1.05 * width0),
            ),
            "parallel": (abs(rng.normal(0, 2)), around, spin, anywhere, (0.25, 0.65)),
            "slight": (abs(rng.normal(5, 2)), around, spin, anywhere, (0.25, 0.6)),
            "same_distance": (
                rng.uniform(0, 12), around, spin, (0.2, 0.8), (0.98 * width0, 1.02 * width0),
            ),
            "middle": (rng.uniform(5, 20), around, spin, (0.48, 0.52), (0.2, 0.3)),
            "few": (rng.uniform(0, 30), around, spin, (0.2, 0.8), (0.25, 0.5)),
            "far": (rng.uniform(10, 40), around, spin, (0.2, 0.8), (0.12, 0.18)),
            "same": (
                lean + rng.normal(0, 0.5), base + rng.normal(0, 1), spin0 + rng.normal(0, 0.5),
                (0.495, 0.505), (0.99 * width0, 1.01 * width0),
            ),
        }[kind]  # fmt: skip
        for _ in range(200):
            distance = camera.focal * board.size[0] / (rng.uniform(*widths) * camera.size[0])
            at = rng.uniform(*places, 2) * camera.size
            board_held = HeldBoard(board, camera, turn(tilt, way, turned), at, distance)
            if board_held.inside():
                held.append(board_held)
                break
        if len(held) == count:
            return held
    return random_set(kind, board, camera, rng)  # else these do not fit the image


@functools.lru_cache(maxsize=2)
def _rays_of(size, focal, d, samples):
    return PinholeCamera(size=size, focal=focal, d=d).rays(samples).astype(np.float32)


def _rays(camera, samples):
    return _rays_of(camera.size, camera.focal, tuple(camera.d), samples)


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


def single_markers(dictionary="DICT_4X4_50", first=0):
    """Six markers, of id ``first`` on, without a chessboard, uint8 as large as the board."""
    sheet = np.full((240, 300), 255, np.uint8)
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, dictionary))
    for number in range(6):
        y, x = 30 + 110 * (number // 3), 20 + 95 * (number % 3)
        sheet[y : y + 70, x : x + 70] = cv2.aruco.generateImageMarker(
            dictionary, first + number, 70
        )
    return sheet


class HeldBoard:
    """A board whose middle is at pixel ``at`` (x, y), ``distance`` [m] along the optical axis."""

    def __init__(self, board, camera: PinholeCamera, rotation, at, distance):
        self.board, self.camera, self.rotation = board, camera, rotation
        pixel = np.array([[at]], dtype=float)
        ray = cv2.undistortPoints(pixel, camera.k, np.array(camera.d)).ravel()
        middle = np.array([*ray, 1.0]) * distance
        self.shift = middle - rotation @ np.array([*(np.array(board.size) / 2), 0.0])

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

    def outline(self, rim=0.0):
        """Camera px (n, 2) of points along the edge of the board, or ``rim`` [m] around it."""
        low, high = np.full(2, -rim), np.array(self.board.size) + rim
        s = np.linspace(0, 1, 9)[:, None]
        corners = np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
        sides = zip(corners, np.roll(corners, -1, axis=0), strict=True)
        return self.show(np.concatenate([a + s * (b - a) for a, b in sides]))

    def inside(self, rim=4.0):
        """Whether all of the board is in the image, ``rim`` [px] from its edge."""
        shown = self.outline()
        return bool((shown > rim).all() and (shown < np.array(self.camera.size) - 1 - rim).all())

    def image(self, texture=None, blur=0.6, noise=2.0, rng=None, ground=150, samples=SAMPLES):
        """RGB uint8; ``texture``: another print (uint8) than the board's own, as large."""
        camera, board = self.camera, self.board
        if texture is None:
            texture = board.render(TEXTURE)
        rim = TEXTURE // 2
        texture = cv2.copyMakeBorder(texture, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=255)
        texture = cv2.copyMakeBorder(texture, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=ground)
        # Only where the board is: there rays go through the board's plane to the texture.
        edge = self.outline(0.6 * board.square)
        x0, y0 = np.maximum(np.floor(edge.min(0)).astype(int) - 2, 0)
        x1, y1 = np.minimum(np.ceil(edge.max(0)).astype(int) + 3, camera.size)
        rays = _rays(camera, samples)[y0 * samples : y1 * samples, x0 * samples : x1 * samples]
        per_metre, middle = TEXTURE / board.square, rim + 2 - 0.5
        to_texture = np.array(
            [
                [per_metre, 0, middle],
                [0, -per_metre, board.size[1] * per_metre + middle],
                [0, 0, 1],
            ]
        )
        plane = np.column_stack([self.rotation[:, :2], self.shift])
        matrix = (to_texture @ np.linalg.inv(plane)).astype(np.float32)
        x, y, depth = np.moveaxis(rays @ matrix[:, :2].T + matrix[:, 2], -1, 0)
        shown = cv2.remap(texture, x / depth, y / depth, cv2.INTER_LINEAR, borderValue=(ground,))
        image = np.full(camera.size[::-1], float(ground))
        image[y0:y1, x0:x1] = cv2.resize(
            shown, (int(x1 - x0), int(y1 - y0)), interpolation=cv2.INTER_AREA
        )
        if blur:
            image = cv2.GaussianBlur(image, (0, 0), blur)
        rng = rng or np.random.default_rng(0)
        image = 20 + 0.85 * image + rng.normal(0, noise, image.shape)
        return np.repeat(np.clip(np.round(image), 0, 255).astype(np.uint8)[..., None], 3, 2)
