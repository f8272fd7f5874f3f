"""THE TABLE: inputs and outputs of the policy. Everything else refers to it.

value          field          dtype, shape          range and meaning
-------------  -------------  --------------------  --------------------------------------------
ViewObjects    boxes          int64 (n, 4)          x centre, y centre, height, width [px] in the
                                                    policy frame (256 wide, 128 high)
               crops          uint8 (n, 3, 32, 32)  RGB, channel first
               scores         float32 (n,)          detector's confidence, 0..1
               track_ids      int64 (n,)            which object this is over time, >= 0
               outlines       uint8 (n, 64, 3)      polygons, see outlines.py; None: unknown
Observation    front, top     ViewObjects           one camera each; n may be 0 and may differ
               end_effector   EndEffector           0 suction, 1 spatula
               slots          (int, int) or None    object slots in front and top, each >= n;
                                                    None: in both as many as the fuller view has
               stamp          int                   capture time [ns]
               images         ViewImages or None    for a policy that reads whole images
PromptImage    name, kind     str, AssetKind        the placeholder's name; one object or a scene
               front, top     ViewObjects           an absent view has n = 0
               images         ViewImages or None    as above
ViewImages     front, top     uint8 (3, 64, 128)    RGB, channel first; the policy frame, halved
EncodedPrompt  tokens         int or PromptImage    in reading order; int: the tokenizer's word id
               text           str                   as the user wrote it
Action         bins           int64 (12,)           pose0 x, y, qx, qy, qz, qw, then pose1 alike;
                                                    0 <= bins < BINS
               primitive      Primitive             0 pick and place, 1 sweep
Decision       action         Action
               confidence     float32 (12,)         probability of each chosen bin, 0..1
               logits         {head: float32}       unnormalised, a head's components one after
                                                    the other: (150,) positions, (200,) rotations
               timings        {stage: float}        [s]
               picked         int or None           track id of the object in whose outline the
                                                    pick was chosen; None: by the bins alone
               attention      DecisionAttention     where it was asked for, else None; see
                                                    decision_attention.py

The dataclasses are frozen and check themselves: VimaError (INVALID_VALUE) names the fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

from vima_ros.decision_attention import DecisionAttention
from vima_ros.discretization import fractions_to_bins, fractions_to_poses, poses_to_fractions
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Workspace
from vima_ros.outlines import OUTLINE_SHAPE, outline_fault

VIEWS = ("front", "top")
POLICY_FRAME_WIDTH = 256  # [px]
POLICY_FRAME_HEIGHT = 128  # [px]
CROP_SIZE = 32  # [px]
VIEW_IMAGE_SIZE = (64, 128)  # height, width of a whole view as a policy reads it [px]
HEADS = ("pose0_position", "pose0_rotation", "pose1_position", "pose1_rotation")
POSITION_BINS = (50, 100)  # x, y
ROTATION_BINS = (50, 50, 50, 50)  # qx, qy, qz, qw
HEAD_BINS = dict(zip(HEADS, (POSITION_BINS, ROTATION_BINS) * 2, strict=True))
BINS = np.array((POSITION_BINS + ROTATION_BINS) * 2)  # (12,) number of bins of each component
MAX_HISTORY_TOKENS = 512  # object slots and actions of one episode (VIMA's learned positions)
MAX_PROMPT_TOKENS = 256  # words and object slots of one prompt


class EndEffector(IntEnum):
    """End effector (mounted tool), as in vima_msgs/ArmState."""

    SUCTION = 0
    SPATULA = 1


class Primitive(IntEnum):
    """Motion primitive of an action, as in vima_msgs/PolicyAction."""

    PICK_PLACE = 0
    SWEEP = 1


class AssetKind(IntEnum):
    """Content of a prompt image, as in vima_msgs/PromptAsset; ``AssetKind("scene")`` works."""

    OBJECT = 0
    SCENE = 1

    @classmethod
    def _missing_(cls, value: object) -> AssetKind | None:
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None


def _invalid(message: str) -> VimaError:
    return VimaError("INVALID_VALUE", message)


def _check_array(owner: str, name: str, value: Any, dtype: type, shape: tuple) -> np.ndarray:
    """Convert to a read-only array of ``dtype``; None in ``shape`` means any size."""
    want = f"valid: {np.dtype(dtype)} {tuple('n' if size is None else size for size in shape)}"
    try:
        got = np.asarray(value)
    except ValueError as error:
        raise _invalid(f"{owner}.{name} is no array: {error}; {want}") from None
    if got.size == 0 and got.ndim == 1 and shape[0] is None:  # an empty list: no objects
        got = got.reshape(0, *shape[1:]).astype(dtype)
    fits = len(got.shape) == len(shape) and all(
        size in (None, have) for have, size in zip(got.shape, shape, strict=True)
    )
    if not fits or not np.can_cast(got.dtype, dtype, casting="same_kind"):
        raise _invalid(f"{owner}.{name} is {got.dtype} {got.shape}; {want}")
    array: np.ndarray = got.astype(dtype, copy=True)
    if array.dtype.kind in "iu" and (array != got).any():
        raise _invalid(f"{owner}.{name} is {got.dtype} up to {got.max()}; {want}")
    array.setflags(write=False)
    return array


def _check_enum(owner: str, name: str, value: Any, kind: type[IntEnum]) -> Any:
    try:
        return kind(value)
    except ValueError:
        valid = ", ".join(f"{member.value} {member.name}" for member in kind)
        raise _invalid(f"{owner}.{name} is {value!r}; valid: {valid}") from None


@dataclass(frozen=True, eq=False)
class ViewObjects:
    """Objects of one view, in the policy frame. See the table above."""

    boxes: np.ndarray
    crops: np.ndarray
    scores: np.ndarray
    track_ids: np.ndarray
    outlines: np.ndarray = None  # type: ignore[assignment]  # None is replaced

    def __post_init__(self) -> None:
        checks = (
            ("boxes", np.int64, (None, 4)),
            ("crops", np.uint8, (None, 3, CROP_SIZE, CROP_SIZE)),
            ("scores", np.float32, (None,)),
            ("track_ids", np.int64, (None,)),
            ("outlines", np.uint8, (None, *OUTLINE_SHAPE)),
        )
        for name, dtype, shape in checks:
            value = getattr(self, name)
            if name == "outlines" and value is None:
                value = np.zeros((len(self.boxes), *OUTLINE_SHAPE), np.uint8)
            array = _check_array("ViewObjects", name, value, dtype, shape)
            object.__setattr__(self, name, array)
        sizes = {name: len(getattr(self, name)) for name, _, _ in checks}
        if len(set(sizes.values())) != 1:
            raise _invalid(f"ViewObjects fields differ in length: {sizes}; valid: all the same")
        limit = [POLICY_FRAME_WIDTH, POLICY_FRAME_HEIGHT, POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH]
        if ((self.boxes < 0) | (self.boxes > limit)).any():
            raise _invalid(
                f"ViewObjects.boxes {self.boxes.tolist()} leave the policy frame; valid: "
                f"x centre, y centre, height, width from 0 to {limit} px"
            )
        if not ((self.scores >= 0) & (self.scores <= 1)).all():
            raise _invalid(f"ViewObjects.scores {self.scores.tolist()}; valid: 0 to 1")
        if (self.track_ids < 0).any():
            raise _invalid(f"ViewObjects.track_ids {self.track_ids.tolist()}; valid: 0 or more")
        if fault := outline_fault(self.outlines, POLICY_FRAME_HEIGHT):
            raise _invalid(f"ViewObjects.outlines {fault}")

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def fields(self) -> tuple[np.ndarray, ...]:
        """Arguments of the constructor: boxes, crops, scores, track_ids, outlines."""
        return self.boxes, self.crops, self.scores, self.track_ids, self.outlines

    @property
    def has_outlines(self) -> bool:
        """True if the outline of any object is known."""
        return bool(self.outlines[..., 2].any())

    def at(self, places: Any) -> ViewObjects:
        """Return the objects at ``places``: indices in any order, or (n,) bool."""
        return ViewObjects(*(values[places] for values in self.fields))

    @staticmethod
    def empty() -> ViewObjects:
        """Return a view without objects."""
        return ViewObjects([], [], [], [])  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class ViewImages:
    """Whole images of both views. See the table above."""

    front: np.ndarray
    top: np.ndarray

    def __post_init__(self) -> None:
        for view in VIEWS:
            array = _check_array(
                "ViewImages", view, getattr(self, view), np.uint8, (3, *VIEW_IMAGE_SIZE)
            )
            object.__setattr__(self, view, array)


def _check_views(owner: Any) -> None:
    for view in VIEWS:
        got = getattr(owner, view)
        if not isinstance(got, ViewObjects):
            raise _invalid(
                f"{type(owner).__name__}.{view} is {type(got).__name__}; valid: ViewObjects"
            )


@dataclass(frozen=True, eq=False)
class Observation:
    """Observation of both cameras and the arm at one time. See the table above."""

    front: ViewObjects
    top: ViewObjects
    end_effector: EndEffector = EndEffector.SUCTION
    slots: tuple[int, int] | None = None
    stamp: int = 0
    images: ViewImages | None = None

    def __post_init__(self) -> None:
        _check_views(self)
        effector = _check_enum("Observation", "end_effector", self.end_effector, EndEffector)
        object.__setattr__(self, "end_effector", effector)
        if self.slots is None:
            return
        slots = tuple(int(n) for n in self.slots)
        if len(slots) != 2 or slots[0] < len(self.front) or slots[1] < len(self.top):
            raise _invalid(
                f"Observation.slots is {self.slots}; valid: (front, top), at least "
                f"({len(self.front)}, {len(self.top)})"
            )
        object.__setattr__(self, "slots", slots)

    @property
    def slot_counts(self) -> tuple[int, int]:
        """Object slots of (front, top), with the ``None`` rule applied."""
        return self.slots or (max(len(self.front), len(self.top)),) * 2


@dataclass(frozen=True, eq=False)
class PromptImage:
    """An image in the prompt, as objects. See the table above."""

    name: str
    kind: AssetKind
    front: ViewObjects
    top: ViewObjects
    images: ViewImages | None = None

    def __post_init__(self) -> None:
        _check_views(self)
        kind = _check_enum("PromptImage", "kind", self.kind, AssetKind)
        object.__setattr__(self, "kind", kind)


@dataclass(frozen=True, eq=False)
class EncodedPrompt:
    """Prompt of words and images in reading order. See the table above."""

    tokens: tuple[int | PromptImage, ...]
    text: str = ""

    def __post_init__(self) -> None:
        tokens = tuple(t if isinstance(t, PromptImage) else _word_id(t) for t in self.tokens)
        if not tokens:
            raise _invalid("EncodedPrompt.tokens is empty; valid: at least one word or image")
        object.__setattr__(self, "tokens", tokens)

    @property
    def images(self) -> tuple[PromptImage, ...]:
        """Images in reading order, repeats kept."""
        return tuple(t for t in self.tokens if isinstance(t, PromptImage))


def _word_id(token: Any) -> int:
    if isinstance(token, bool) or not isinstance(token, int | np.integer) or token < 0:
        raise _invalid(f"EncodedPrompt token {token!r}; valid: a word id >= 0 or a PromptImage")
    return int(token)


@dataclass(frozen=True, eq=False)
class Action:
    """Two poses as bins, and their motion primitive. See the table above."""

    bins: np.ndarray
    primitive: Primitive = Primitive.PICK_PLACE

    def __post_init__(self) -> None:
        bins = _check_array("Action", "bins", self.bins, np.int64, (12,))
        if ((bins < 0) | (bins >= BINS)).any():
            raise _invalid(f"Action.bins {bins.tolist()}; valid: 0 to below {BINS.tolist()}")
        object.__setattr__(self, "bins", bins)
        primitive = _check_enum("Action", "primitive", self.primitive, Primitive)
        object.__setattr__(self, "primitive", primitive)

    @property
    def fractions(self) -> np.ndarray:
        """Bins as parts of their range, (12,) float32 in [0, 1): bin / number of bins."""
        return (self.bins / BINS).astype(np.float32)

    @staticmethod
    def from_fractions(fractions: Any, primitive: int = Primitive.PICK_PLACE) -> Action:
        """Build the action whose bins hold ``fractions`` (12,) in [0, 1]."""
        values = _check_array("Action", "fractions", fractions, np.float32, (12,))
        if not ((values >= 0) & (values <= 1)).all():
            raise _invalid(f"Action fractions {values.tolist()}; valid: 0 to 1")
        return Action(fractions_to_bins(values, BINS), Primitive(primitive))

    @staticmethod
    def from_poses(
        pose0: Pose, pose1: Pose, workspace: Workspace, primitive: int = Primitive.PICK_PLACE
    ) -> Action:
        """Build the action of two poses inside ``workspace``, binned as in ``from_fractions``."""
        return Action.from_fractions(poses_to_fractions(pose0, pose1, workspace), primitive)

    def poses(self, workspace: Workspace) -> tuple[Pose, Pose]:
        """Return pose0 and pose1 in ``workspace``: z = 0, quaternions xyzw as binned."""
        return fractions_to_poses(self.fractions, workspace)


@dataclass(frozen=True, eq=False)
class Decision:
    """Decision of the policy with its confidence and timings. See the table above."""

    action: Action
    confidence: np.ndarray
    logits: Mapping[str, np.ndarray]
    timings: Mapping[str, float] = field(default_factory=dict)
    attention: DecisionAttention | None = None
    picked: int | None = None

    def __post_init__(self) -> None:
        confidence = _check_array("Decision", "confidence", self.confidence, np.float32, (12,))
        object.__setattr__(self, "confidence", confidence)
        if set(self.logits) != set(HEADS):
            raise _invalid(f"Decision.logits has {sorted(self.logits)}; valid: {list(HEADS)}")
        logits = {
            head: _check_array("Decision", f"logits[{head}]", value, np.float32, (sum(bins),))
            for (head, bins) in HEAD_BINS.items()
            for value in (self.logits[head],)
        }
        object.__setattr__(self, "logits", logits)
