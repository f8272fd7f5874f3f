"""The registry of shapes."""

from vima_ros.sim.model.shapes.containers import BASES
from vima_ros.sim.model.shapes.movable import TOYS
from vima_ros.sim.model.shapes.shape import Part, Shape
from vima_ros.sim.model.shapes.sweep_markers import SWEEPING

SHAPES: dict[str, Shape] = {**TOYS, **BASES, **SWEEPING}

__all__ = ["SHAPES", "Part", "Shape"]
