"""Registry of shapes."""

from vima_ros.sim.model.shapes.containers import CONTAINER_SHAPES
from vima_ros.sim.model.shapes.movable import MOVABLE_SHAPES
from vima_ros.sim.model.shapes.shape import Part, Shape
from vima_ros.sim.model.shapes.sweep_markers import SWEEP_SHAPES

SHAPES: dict[str, Shape] = {**MOVABLE_SHAPES, **CONTAINER_SHAPES, **SWEEP_SHAPES}

__all__ = ["SHAPES", "Part", "Shape"]
