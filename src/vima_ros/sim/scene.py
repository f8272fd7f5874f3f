"""Scenes: objects on the table and their appearance; a few predefined and random scenes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from vima_ros.errors import NoRoomError, VimaError
from vima_ros.geometry import Workspace
from vima_ros.policy_frame import VIMA_WORKSPACE
from vima_ros.sim.domain_randomization import VisualAppearance
from vima_ros.sim.model.generated_textures import is_generated_texture
from vima_ros.sim.model.shapes import SHAPES, Shape, find_shape, is_generated_shape
from vima_ros.sim.model.textures import COLOURS, TEXTURES
from vima_ros.specs import EndEffector

MAX_SEED = 2**31 - 1  # of scenes and episodes
MAX_OBJECTS = 254  # ids in a mask are uint8, 0 is the background
_ATTEMPTS = 1000
_GAP = 0.015  # minimum distance of the circles around two objects [m]
_RANDOM_COLOURS = tuple(sorted(COLOURS))
_RANDOM_MOVABLE = ("block", "cross", "l_block", "round", "shorter_block", "triangle")
_RANDOM_FIXED = ("bowl", "container", "square")


@dataclass(frozen=True)
class SceneObject:
    """Object of a scene at ``position_xy`` [m] and ``yaw`` [rad] in the table frame.

    ``shape``: a key of SHAPES or the name of a generated one. ``texture``: likewise of TEXTURES.
    ``scale``: of all sizes.
    ``height_factor``: additional scale of the height. ``base_height``: z of the surface below [m].
    """

    name: str
    shape: str
    texture: str
    position_xy: tuple[float, float]
    yaw: float = 0.0
    scale: float = 1.0
    height_factor: float = 1.0
    base_height: float = 0.0

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_]{1,64}", self.name):
            raise _invalid(f"object name {self.name!r}; valid: 1 to 64 letters, digits and _")
        for key, registry, is_generated in (
            ("shape", SHAPES, is_generated_shape),
            ("texture", TEXTURES, is_generated_texture),
        ):
            value = getattr(self, key)
            if value not in registry and not is_generated(value):
                raise _invalid(
                    f"{key} {value!r} of {self.name}; valid: {', '.join(registry)}, "
                    "or the name of a generated one"
                )
        position = tuple(float(value) for value in self.position_xy)
        numbers = (*position, self.yaw, self.base_height)
        if len(position) != 2 or not all(map(math.isfinite, numbers)):
            raise _invalid(
                f"{self.name} at {self.position_xy}, yaw {self.yaw}, base {self.base_height}; "
                "valid: finite x, y, yaw and base height"
            )
        for factor in ("scale", "height_factor"):
            if not 0.1 <= getattr(self, factor) <= 10.0:
                raise _invalid(
                    f"{factor} {getattr(self, factor)} of {self.name}; valid: 0.1 to 10"
                )
        object.__setattr__(self, "position_xy", position)

    @property
    def scaled_shape(self) -> Shape:
        """Shape of the registry at the scale of this object."""
        return _scaled_shape(self.shape, self.scale, self.height_factor)


@dataclass(frozen=True)
class Scene:
    """Objects with unique names, the end effector, the visual appearance and the workspace.

    The mask id of an object is its index + 1. The cameras show the workspace.
    """

    objects: tuple[SceneObject, ...]
    end_effector: EndEffector = EndEffector.SUCTION
    appearance: VisualAppearance = field(default_factory=VisualAppearance)
    workspace: Workspace = VIMA_WORKSPACE

    def __post_init__(self) -> None:
        objects = tuple(self.objects)
        names = [item.name for item in objects]
        if len(set(names)) != len(names) or len(names) > MAX_OBJECTS:
            raise _invalid(
                f"scene of {len(names)} objects {names}; "
                f"valid: at most {MAX_OBJECTS}, with unique names"
            )
        object.__setattr__(self, "objects", objects)
        object.__setattr__(self, "end_effector", EndEffector(self.end_effector))

    def moved_to(self, workspace: Workspace) -> Scene:
        """Return the scene on another workspace, where it is on this one from the center."""
        x, y = np.subtract(workspace.center, self.workspace.center)
        objects = tuple(
            replace(item, position_xy=(item.position_xy[0] + x, item.position_xy[1] + y))
            for item in self.objects
        )
        return replace(self, objects=objects, workspace=workspace)

    def object(self, name: str) -> SceneObject:
        """Return the object of that name. Raises VimaError (UNKNOWN_OBJECT)."""
        for item in self.objects:
            if item.name == name:
                return item
        valid = ", ".join(item.name for item in self.objects) or "none, the table is empty"
        raise VimaError("UNKNOWN_OBJECT", f"no object {name!r}; valid: {valid}")


@lru_cache(maxsize=1024)
def _scaled_shape(shape: str, scale: float, height_factor: float) -> Shape:
    return find_shape(shape).scaled(scale, height_factor)


def random_scene(
    seed: int,
    movable: int = 2,
    fixed: int = 1,
    end_effector: EndEffector = EndEffector.SUCTION,
    workspace: Workspace = VIMA_WORKSPACE,
) -> Scene:
    """Return the random scene of a seed, with ``movable`` + ``fixed`` objects.

    Every object has a different plain colour, so there are at most 9. Raises VimaError:
    INVALID_VALUE for more or negative numbers, NO_ROOM as ``scatter``.
    """
    count = movable + fixed
    if min(movable, fixed) < 0 or count > len(_RANDOM_COLOURS):
        raise _invalid(
            f"random scene of {movable} movable and {fixed} fixed objects; "
            f"valid: 0 or more each, together at most {len(_RANDOM_COLOURS)}"
        )
    random = np.random.default_rng(seed)
    shapes = [*random.choice(_RANDOM_MOVABLE, movable), *random.choice(_RANDOM_FIXED, fixed)]
    colours = random.choice(_RANDOM_COLOURS, count, replace=False)
    objects = tuple(
        SceneObject(f"{colour}_{shape}", str(shape), str(colour), workspace.center)
        for shape, colour in zip(shapes, colours, strict=True)
    )
    return scatter(Scene(objects, end_effector, workspace=workspace), seed)


def scatter(scene: Scene, seed: int) -> Scene:
    """Move the objects to random poses inside the workspace, apart from each other.

    The same seed gives the same poses. Raises VimaError (NO_ROOM) if they do not fit.
    """
    random, workspace = np.random.default_rng(seed), scene.workspace
    for _ in range(_ATTEMPTS // 10):  # a layout without room for the last objects is discarded
        placed: list[SceneObject] = []
        for item in sorted(scene.objects, key=lambda item: -item.scaled_shape.radius):
            free = _at_free_pose(item, placed, random, workspace)
            if free is None:
                break
            placed.append(free)
        else:
            places = {item.name: item for item in placed}
            return replace(scene, objects=tuple(places[item.name] for item in scene.objects))
    raise NoRoomError(
        f"{len(scene.objects)} objects with radii "
        f"{[round(item.scaled_shape.radius, 3) for item in scene.objects]} m do not fit into "
        f"x, y from {workspace.low} to {workspace.high} m; valid: fewer or smaller ones",
    )


def _at_free_pose(
    item: SceneObject,
    placed: list[SceneObject],
    random: np.random.Generator,
    workspace: Workspace,
) -> SceneObject | None:
    """Return ``item`` at a free pose inside the workspace, or None."""
    radius = item.scaled_shape.radius
    low, high = np.array(workspace.low) + radius, np.array(workspace.high) - radius
    if (low > high).any():
        return None
    for _ in range(_ATTEMPTS):
        position = random.uniform(low, high)
        yaw = random.uniform(-math.pi, math.pi)
        if all(
            math.dist(position, other.position_xy) > radius + other.scaled_shape.radius + _GAP
            for other in placed
        ):
            return replace(item, position_xy=tuple(position), yaw=yaw)
    return None


def _invalid(message: str) -> VimaError:
    return VimaError("INVALID_VALUE", message)


_OPEN_TO_X = -math.pi / 2  # yaw of a three-sided rectangle that is open towards +x

SCENES: dict[str, Scene] = {
    "put": Scene(
        (
            SceneObject("red_block", "block", "red", (0.58, -0.25), 0.4),
            SceneObject("blue_bowl", "bowl", "blue", (0.47, 0.22)),
            SceneObject("green_round", "round", "green", (0.40, -0.05)),
        )
    ),
    "rotate": Scene(
        (
            SceneObject("yellow_l_block", "l_block", "yellow", (0.52, 0.12), 0.5),
            SceneObject("purple_triangle", "triangle", "purple", (0.45, -0.24), -0.6),
        )
    ),
    "rearrange": Scene(
        (
            SceneObject("orange_block", "block", "orange", (0.40, -0.30), 0.2),
            SceneObject("cyan_cross", "cross", "cyan", (0.60, 0.0), 0.6),
            SceneObject("pink_round", "round", "pink", (0.42, 0.28)),
        )
    ),
    "sweep": Scene(
        (
            SceneObject(
                "orange_bounds", "three_sided_rectangle", "orange", (0.41, 0.0), _OPEN_TO_X
            ),
            SceneObject("grey_line", "line", "grey", (0.40, 0.0), math.pi / 2),
            SceneObject("red_small_block_1", "small_block", "red", (0.64, -0.14), 0.3),
            SceneObject("red_small_block_2", "small_block", "red", (0.68, -0.06), 1.0),
            SceneObject("blue_small_block_1", "small_block", "blue", (0.66, 0.10), 0.7),
        ),
        EndEffector.SPATULA,
    ),
}
RANDOM_SCENE = "random"  # name of the scene that ``random_scene`` returns
SCENE_NAMES = (*SCENES, RANDOM_SCENE)
