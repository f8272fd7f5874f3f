"""Registry of shapes."""

from vima_ros.errors import VimaError
from vima_ros.sim.model.shapes.containers import CONTAINER_SHAPES
from vima_ros.sim.model.shapes.generated import generated_shape, is_generated_shape
from vima_ros.sim.model.shapes.movable import MOVABLE_SHAPES
from vima_ros.sim.model.shapes.shape import Part, Shape
from vima_ros.sim.model.shapes.sweep_markers import SWEEP_SHAPES

SHAPES: dict[str, Shape] = {**MOVABLE_SHAPES, **CONTAINER_SHAPES, **SWEEP_SHAPES}

__all__ = ["SHAPES", "Part", "Shape", "find_shape", "is_generated_shape"]


def find_shape(name: str) -> Shape:
    """Return a shape of the registry, or the generated one of that name.

    Raises VimaError (INVALID_VALUE).
    """
    if name in SHAPES:
        return SHAPES[name]
    if is_generated_shape(name):
        return generated_shape(name)
    raise VimaError(
        "INVALID_VALUE",
        f"shape {name!r}; valid: {', '.join(SHAPES)}, or the name of a generated one",
    )
