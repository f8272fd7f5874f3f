"""Visual meshes of shapes: triangles with texture coordinates.

Not by trimesh: its extrusions and revolutions have no texture coordinates, and it takes 3 s to
import.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from vima_ros.sim.model.polygons import Outline, triangulate


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles with texture coordinates.

    ``corners`` (n, 3, 3) [m], counter-clockwise seen from outside; ``uv`` (n, 3, 2) in tiles of
    the texture, which repeats.
    """

    corners: np.ndarray
    uv: np.ndarray

    @cached_property
    def normals(self) -> np.ndarray:
        """Normals at the corners of the triangles (flat shading), (n, 3, 3)."""
        a, b, c = np.moveaxis(self.corners, 1, 0)
        normal = np.cross(b - a, c - a)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        return np.repeat(normal[:, None], 3, axis=1)

    def __add__(self, other: Mesh) -> Mesh:
        return Mesh(
            np.concatenate([self.corners, other.corners]), np.concatenate([self.uv, other.uv])
        )


def extrude(outline: Outline, height: float, tile: float, turn: float = 0.0) -> Mesh:
    """Extrude an outline from z = 0; a tile is ``tile`` [m] wide, rotated by ``turn`` [rad]."""
    flat = triangulate(outline)  # (n, 3, 2)
    cosine, sine = math.cos(turn), math.sin(turn)
    top_uv = flat @ np.array([[cosine, sine], [-sine, cosine]]).T / tile + 0.5
    top = np.concatenate([flat, np.full((*flat.shape[:2], 1), height)], axis=2)
    bottom = np.concatenate([flat, np.zeros((*flat.shape[:2], 1))], axis=2)[:, ::-1]
    mesh = Mesh(top, top_uv) + Mesh(bottom, top_uv[:, ::-1])
    for polygon in outline:
        distance = 0.0
        for (x0, y0), (x1, y1) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
            end = distance + math.hypot(x1 - x0, y1 - y0) / tile
            places = [(x0, y0, 0.0), (x1, y1, 0.0), (x1, y1, height), (x0, y0, height)]
            uv = [(distance, 0.0), (end, 0.0), (end, height / tile), (distance, height / tile)]
            mesh += quad(places, uv)
            distance = end
    return mesh


def quad(places: Sequence[Sequence[float]], uv: Sequence[Sequence[float]]) -> Mesh:
    """Return a flat quadrilateral, corners (x, y, z) counter-clockwise seen from outside."""
    order = [[0, 1, 2], [0, 2, 3]]
    return Mesh(np.array(places, float)[order], np.array(uv, float)[order])


_UNIT = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]


def box(size: Sequence[float], centre: Sequence[float]) -> Mesh:
    """Return a box with one tile on each face, upright on the sides and along x, y on top."""
    (x0, y0, z0), (x1, y1, z1) = (
        tuple(c + sign * s / 2 for s, c in zip(size, centre, strict=True)) for sign in (-1, 1)
    )
    faces = [
        [(x0, y0, z1), (x1, y0, z1), (x1, y1, z1), (x0, y1, z1)],
        [(x0, y1, z0), (x1, y1, z0), (x1, y0, z0), (x0, y0, z0)],
        [(x0, y0, z0), (x1, y0, z0), (x1, y0, z1), (x0, y0, z1)],
        [(x1, y0, z0), (x1, y1, z0), (x1, y1, z1), (x1, y0, z1)],
        [(x1, y1, z0), (x0, y1, z0), (x0, y1, z1), (x1, y1, z1)],
        [(x0, y1, z0), (x0, y0, z0), (x0, y0, z1), (x0, y1, z1)],
    ]
    meshes = [quad(face, _UNIT) for face in faces]
    return sum(meshes[1:], meshes[0])


def revolve(profile: Sequence[tuple[float, float]], count: int, tile: float) -> Mesh:
    """Revolve a profile of (radius, z) [m] about the z axis, from the outside over the top.

    On steep parts the texture runs around; on flat parts it lies in x, y, ``tile`` [m] wide.
    """
    angles = 2 * math.pi * np.arange(count + 1) / count
    direction = np.stack([np.cos(angles), np.sin(angles)], axis=1)  # (count + 1, 2)
    meshes, distance = [], 0.0
    widest = max(radius for radius, _ in profile)
    around = round(2 * math.pi * widest / tile)  # whole tiles, so that there is no seam
    for (r0, z0), (r1, z1) in pairwise(profile):
        end = distance + math.hypot(r1 - r0, z1 - z0) / tile
        steep = abs(z1 - z0) > abs(r1 - r0)
        for k in range(count):
            a, b = direction[k], direction[k + 1]
            places = [(*(r0 * a), z0), (*(r0 * b), z0), (*(r1 * b), z1), (*(r1 * a), z1)]
            if steep:
                u0, u1 = around * k / count, around * (k + 1) / count
                uv = [(u0, distance), (u1, distance), (u1, end), (u0, end)]
            else:
                uv = [(x / tile + 0.5, y / tile + 0.5) for x, y, _ in places]
            meshes.append(quad(places, uv))
        distance = end
    mesh = sum(meshes[1:], meshes[0])
    a, b, c = np.moveaxis(mesh.corners, 1, 0)
    real = np.linalg.norm(np.cross(b - a, c - a), axis=1) > 1e-12  # not degenerate at radius 0
    return Mesh(mesh.corners[real], mesh.uv[real])
