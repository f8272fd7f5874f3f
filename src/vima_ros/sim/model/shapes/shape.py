"""Geometry of an object: collision parts, visual mesh, outline and grasp points."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from vima_ros.sim.model import polygons
from vima_ros.sim.model.meshes import Mesh
from vima_ros.sim.model.polygons import Outline, Polygon

Vector = tuple[float, float, float]
Role = Literal["movable", "container", "sweep"]
_GRASP_GRID, _GRASP_MARGIN = 0.003, 0.004  # [m]
_FIRM_DEPTH, _FIRM_FRACTION = 0.01, 0.8  # distance from an edge [m]; fraction of the maximum


@dataclass(frozen=True)
class Part:
    """Convex collision solid of a shape.

    ``size`` [m]: half of x, y, z of a box; the radius of a sphere; for a prism ``corners`` is its
    convex outline (x, y) and ``size[0]`` its height above ``position``. ``euler``: roll, pitch,
    yaw [rad] about the fixed axes. ``has_mass``: False if it does not add to the mass.
    """

    kind: Literal["box", "sphere", "prism"]
    size: tuple[float, ...]
    position: Vector = (0.0, 0.0, 0.0)
    euler: Vector = (0.0, 0.0, 0.0)
    corners: Polygon = ()
    has_mass: bool = True

    def scaled(self, scale: float, height: float) -> Part:
        """Return the part scaled by ``scale``, and additionally by ``height`` in z.

        A sphere, which is a foot on z = 0, keeps its size.
        """
        x, y, z = self.position
        if self.kind == "sphere":
            return replace(self, position=(scale * x, scale * y, z))
        *rest, top = self.size
        return replace(
            self,
            size=(*(scale * value for value in rest), scale * height * top),
            position=(scale * x, scale * y, scale * height * z),
            corners=tuple((scale * a, scale * b) for a, b in self.corners),
        )


@dataclass(frozen=True)
class Shape:
    """Shape in its own frame, with z = 0 at the centre of blocks and of the shape "container".

    The frame of other shapes is at their bottom. ``parts``: collision solids; none: visual only.
    ``mesh``: visual mesh. ``outline``: outer polygon and holes of the top view. ``role``: use in
    tasks; "container" shapes are fixed to the table, and so are the lines and rectangles of
    "sweep". ``rest_height``: z of the frame on the table [m]. ``prompt_scale``: enlargement in
    prompt images. ``symmetry``: the smallest rotation about z that maps the shape to itself [rad];
    2 pi: only a full turn, 0: any. ``profile``: the class in the task same_shape.
    ``scale_range``: minimum and maximum scale in VIMA-Bench.
    """

    parts: tuple[Part, ...]
    mesh: Mesh
    outline: Outline
    height: float
    role: Role = "movable"
    movable: bool = True
    rest_height: float = 0.0
    prompt_scale: float = 1.0
    symmetry: float = 2.0 * math.pi
    profile: Literal["square", "circle"] | None = None
    scale_range: tuple[float, float] = (1.0, 1.0)

    @cached_property
    def size(self) -> Vector:
        """Size of the bounding box in x, y, z [m]."""
        width, depth = np.ptp(np.array(self.outline[0]), axis=0)
        return float(width), float(depth), self.height

    @cached_property
    def radius(self) -> float:
        """Half the diagonal of the bounding box in x, y [m]."""
        return math.hypot(*self.size[:2]) / 2

    @cached_property
    def grasp_points(self) -> tuple[tuple[float, float], ...]:
        """Grasp points (x, y) [m] on the top surface, the farthest from the edges first.

        They lie on a grid of 3 mm, at least 4 mm from an edge; () for a fixed shape.
        """
        if not self.movable:
            return ()
        corners = np.array(self.outline[0])
        low, high = corners.min(axis=0), corners.max(axis=0)
        grid = [np.arange(a, b, _GRASP_GRID) for a, b in zip(low, high, strict=True)]
        points = np.stack(np.meshgrid(*grid), axis=-1).reshape(-1, 2)
        depth = polygons.depth(points, self.outline)
        order = np.argsort(-depth, kind="stable")
        chosen = points[order][depth[order] >= _GRASP_MARGIN]
        return tuple((float(x), float(y)) for x, y in chosen)

    @cached_property
    def firm_grasp_points(self) -> tuple[tuple[float, float], ...]:
        """Grasp points that tolerate an error of one bin of an action, 1 cm.

        If there are none, those with about the maximum distance from the edges.
        """
        if not self.grasp_points:
            return ()
        depth = polygons.depth(np.array(self.grasp_points), self.outline)
        firm = depth >= min(_FIRM_DEPTH, _FIRM_FRACTION * depth[0])
        return tuple(point for point, keep in zip(self.grasp_points, firm, strict=True) if keep)

    def scaled(self, scale: float, height_factor: float = 1.0) -> Shape:
        """Return the shape scaled by ``scale``, and additionally by ``height_factor`` in z."""
        if scale == height_factor == 1.0:
            return self
        factors = np.array([scale, scale, scale * height_factor])
        return replace(
            self,
            parts=tuple(part.scaled(scale, height_factor) for part in self.parts),
            mesh=Mesh(self.mesh.corners * factors, self.mesh.uv),
            outline=tuple(
                tuple((scale * x, scale * y) for x, y in polygon) for polygon in self.outline
            ),
            height=scale * height_factor * self.height,
            rest_height=scale * height_factor * self.rest_height,
        )


def bar(size: Vector, x: float, y: float, z: float) -> Part:
    """Return a box of ``size`` [m] centred at (x, y, z)."""
    return Part("box", tuple(value / 2 for value in size), (x, y, z))


def rectangle(width: float, depth: float) -> Polygon:
    """Return a rectangle centred at the origin, ``width`` in x and ``depth`` in y [m]."""
    x, y = width / 2, depth / 2
    return ((-x, -y), (x, -y), (x, y), (-x, y))


def circle(radius: float, count: int = 48) -> Polygon:
    """Return a circle about the origin as a polygon of ``count`` corners [m]."""
    return arc((0.0, 0.0), radius, 0.0, 2 * math.pi, count)


def arc(
    centre: tuple[float, float], radius: float, start: float, turn: float, count: int
) -> Polygon:
    """Return ``count`` points of an arc of ``turn`` [rad] from angle ``start``, end excluded."""
    angles = [start + turn * k / count for k in range(count)]
    x, y = centre
    return tuple((x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles)
