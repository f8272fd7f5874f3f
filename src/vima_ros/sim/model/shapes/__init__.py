"""The registry of shapes."""

from vima_ros.sim.shapes.bases import BASES
from vima_ros.sim.shapes.shape import Part, Shape
from vima_ros.sim.shapes.sweeping import SWEEPING
from vima_ros.sim.shapes.toys import TOYS

SHAPES: dict[str, Shape] = {**TOYS, **BASES, **SWEEPING}

__all__ = ["SHAPES", "Part", "Shape"]
