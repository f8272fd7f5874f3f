"""What an object is made of."""

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
Role = Literal["movable", "base", "sweep"]
_GRASP_GRID, _GRASP_MARGIN = 0.003, 0.004  # [m]
_FIRM, _FIRM_SHARE = 0.01, 0.8  # from an edge [m]; of what the innermost point has


@dataclass(frozen=True)
class Part:
    """What others touch: one convex solid.

    ``size`` [m]: of a box, half its x, y, z; of a sphere, its radius; a prism has ``corners``, the
    (x, y) of its convex outline, and ``size[0]`` is its height above ``position``. ``euler``:
    roll, pitch, yaw [rad] about the fixed axes. ``weighs``: whether it adds to the mass.
    """

    kind: Literal["box", "sphere", "prism"]
    size: tuple[float, ...]
    position: Vector = (0.0, 0.0, 0.0)
    euler: Vector = (0.0, 0.0, 0.0)
    corners: Polygon = ()
    weighs: bool = True

    def scaled(self, scale: float, height: float) -> Part:
        """The same part ``scale`` times larger, and ``height`` times higher besides.

        A sphere, a foot that stands on z = 0, keeps its size.
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
    """A shape in its own frame, whose z = 0 is amid the blocks and the container, else below.

    ``parts``: what others touch; none: only drawn. ``mesh``: what is seen. ``outline``: what is
    seen from above, the outer polygon, then its holes. ``role``: what tasks use it for; a "base"
    is fixed to the table, and so are the lines and rectangles that "sweep" tasks draw on it.
    ``rest_height``: z of its frame when it stands on the table [m]. ``prompt_scale``: how much
    larger its prompt picture shows it. ``symmetry``: the smallest turn about z that maps it to
    itself [rad]; 2 pi: none smaller, 0: any. ``profile``: what "same profile" goes by.
    ``scale_range``: lowest and highest scale of VIMA-Bench's objects.
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
        """Of the bounding box: x, y, z [m]."""
        width, depth = np.ptp(np.array(self.outline[0]), axis=0)
        return float(width), float(depth), self.height

    @cached_property
    def radius(self) -> float:
        """Half the diagonal of its bounding box seen from above [m]."""
        return math.hypot(*self.size[:2]) / 2

    @cached_property
    def grasp_points(self) -> tuple[tuple[float, float], ...]:
        """(x, y) [m] where a suction cup finds solid top surface, the one farthest inside first.

        On a grid of 3 mm, no point nearer than 4 mm to an edge; () for what cannot be lifted.
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
        """Those of ``grasp_points`` that bear a miss by the bin of an action, 1 cm.

        Where there are none, those about as far inside as the first.
        """
        if not self.grasp_points:
            return ()
        depth = polygons.depth(np.array(self.grasp_points), self.outline)
        firm = depth >= min(_FIRM, _FIRM_SHARE * depth[0])
        return tuple(point for point, keep in zip(self.grasp_points, firm, strict=True) if keep)

    def scaled(self, scale: float, height_factor: float = 1.0) -> Shape:
        """The same shape ``scale`` times larger, and ``height_factor`` times higher besides."""
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
    """A box of ``size`` [m] about (x, y, z)."""
    return Part("box", tuple(value / 2 for value in size), (x, y, z))


def rectangle(width: float, depth: float) -> Polygon:
    """About the origin, ``width`` in x and ``depth`` in y [m]."""
    x, y = width / 2, depth / 2
    return ((-x, -y), (x, -y), (x, y), (-x, y))


def circle(radius: float, count: int = 48) -> Polygon:
    """About the origin, as ``count`` corners [m]."""
    return arc((0.0, 0.0), radius, 0.0, 2 * math.pi, count)


def arc(
    centre: tuple[float, float], radius: float, start: float, turn: float, count: int
) -> Polygon:
    """``count`` points of an arc from angle ``start`` on, the end of the ``turn`` left out."""
    angles = [start + turn * k / count for k in range(count)]
    x, y = centre
    return tuple((x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles)
