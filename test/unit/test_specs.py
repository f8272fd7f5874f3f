import dataclasses

import numpy as np
import pytest
from helpers import data
from hypothesis import given
from hypothesis import strategies as st
from outlines_of import outline

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.specs import (
    BINS,
    CROP_SIZE,
    HEAD_BINS,
    HEADS,
    Action,
    AssetKind,
    Decision,
    EncodedPrompt,
    EndEffector,
    Observation,
    Primitive,
    PromptImage,
    ViewObjects,
)

GOLDEN_STEPS = 5
bins = st.tuples(*(st.integers(0, int(count) - 1) for count in BINS))
fractions = st.lists(st.floats(0, 1, width=32), min_size=12, max_size=12)
coordinates = st.floats(-3, 3)
workspaces = st.builds(
    lambda x, y, width, depth: Workspace((x, y), (x + width, y + depth)),
    coordinates,
    coordinates,
    st.floats(0.05, 2),
    st.floats(0.05, 2),
)


@pytest.fixture(scope="module")
def golden():
    with np.load(data("golden/vima.npz")) as content:
        return dict(content)


def heads(arrays, prefix):
    """The four heads side by side, (n, 12)."""
    return np.concatenate([arrays[f"{prefix}/{head}"] for head in HEADS], -1).reshape(-1, 12)


def fields(count):
    return {
        "boxes": np.full((count, 4), 20),
        "crops": np.full((count, 3, CROP_SIZE, CROP_SIZE), 7, np.uint8),
        "scores": np.full(count, 0.5, np.float32),
        "track_ids": np.arange(count),
        "outlines": np.stack([outline([(1, 2), (9, 2), (9, 8)])] * count)
        if count
        else np.zeros((0, 64, 3), np.uint8),
    }


def view(count=1, **changed):
    return ViewObjects(**{**fields(count), **changed})


def decision(**changed):
    logits = {head: np.zeros(sum(count), np.float32) for head, count in HEAD_BINS.items()}
    valid = {"action": Action(np.zeros(12, int)), "confidence": np.ones(12), "logits": logits}
    return Decision(**{**valid, **changed})


# --- bins, fractions, poses


def test_fractions_become_vimas_bins(golden):
    given_fractions = heads(golden, "discretize/in")
    got = [Action.from_fractions(one).bins for one in given_fractions]
    np.testing.assert_array_equal(got, heads(golden, "discretize/out"))


def test_vimas_grid_points_belong_to_the_bin_below_them(golden):
    grids = {50: golden["discretize/boundaries_50"], 100: golden["discretize/boundaries_100"]}
    for number in range(BINS.max() - 1):
        want = np.minimum(number, BINS - 2)
        points = np.array([grids[n][k] for n, k in zip(BINS, want, strict=True)])
        np.testing.assert_array_equal(Action.from_fractions(points).bins, want)
        beyond = np.nextafter(points, np.float32(1))
        np.testing.assert_array_equal(Action.from_fractions(beyond).bins, want + 1)


@pytest.mark.parametrize("step", range(GOLDEN_STEPS))
def test_bins_become_vimas_fractions_and_poses(golden, step):
    workspace = Workspace(golden["action_bounds/low"], golden["action_bounds/high"])
    action = Action(heads(golden, f"step/{step}/bins")[0])
    np.testing.assert_array_equal(action.fractions, heads(golden, f"step/{step}/unit")[0])
    assert action.fractions.dtype == np.float32
    poses = action.poses(workspace)
    flat = np.concatenate([np.append(p.position[:2], p.quaternion) for p in poses])
    np.testing.assert_allclose(flat, heads(golden, f"step/{step}/action")[0], atol=1e-6)
    assert [p.position[2] for p in poses] == [0, 0]


def test_every_bin_survives_fractions_and_back():
    for number in range(BINS.max()):
        want = np.minimum(number, BINS - 1)
        np.testing.assert_array_equal(Action.from_fractions(Action(want).fractions).bins, want)


@given(bins, workspaces, st.sampled_from(Primitive))
def test_every_bin_survives_poses_and_back(want, workspace, primitive):
    poses = Action(want, primitive).poses(workspace)
    back = Action.from_poses(*poses, workspace, primitive)
    assert tuple(back.bins) == want
    assert back.primitive is primitive


@given(fractions)
def test_a_bin_is_within_one_bin_of_its_fraction(values):
    action = Action.from_fractions(values)
    assert (np.abs(action.fractions - np.array(values)) <= 1 / (BINS - 1) + 1e-6).all()


@given(bins, workspaces)
def test_poses_lie_in_the_workspace(got, workspace):
    for pose in Action(got).poses(workspace):
        assert workspace.contains(*pose.position[:2], tolerance=0)
        assert (np.abs(pose.quaternion) <= 1).all()


# --- what may not be built


INVALID = {
    "boxes of the wrong shape": (lambda: view(2, boxes=np.ones((2, 5), int)), "int64 (2, 5)"),
    "boxes of the wrong kind": (lambda: view(1, boxes=np.ones((1, 4))), "float64"),
    "boxes to the left": (lambda: view(1, boxes=[[-3, 1, 1, 1]]), "[-3, 1, 1, 1]"),
    "boxes to the right": (lambda: view(1, boxes=[[257, 1, 1, 1]]), "[257, 1, 1, 1]"),
    "boxes below": (lambda: view(1, boxes=[[1, 129, 1, 1]]), "[1, 129, 1, 1]"),
    "boxes too high": (lambda: view(1, boxes=[[1, 1, 129, 1]]), "[1, 1, 129, 1]"),
    "boxes too wide": (lambda: view(1, boxes=[[1, 1, 1, 257]]), "[1, 1, 1, 257]"),
    "boxes ragged": (lambda: view(2, boxes=[[1, 2, 3, 4], [5]]), "boxes"),
    "crops channel last": (lambda: view(1, crops=np.ones((1, 32, 32, 3), np.uint8)), "32, 3)"),
    "crops of fractions": (lambda: view(1, crops=np.ones((1, 3, 32, 32))), "float64"),
    "crops beyond a byte": (lambda: view(1, crops=np.full((1, 3, 32, 32), 256, "u2")), "uint16"),
    "scores above 1": (lambda: view(1, scores=[1.25]), "1.25"),
    "scores below 0": (lambda: view(1, scores=[-0.25]), "-0.25"),
    "scores not numbers": (lambda: view(1, scores=[np.nan]), "nan"),
    "a negative track": (lambda: view(1, track_ids=[-7]), "-7"),
    "outlines without rings": (lambda: view(1, outlines=np.ones((1, 64, 2), np.uint8)), "64, 2)"),
    "outlines of 65 points": (lambda: view(1, outlines=np.ones((1, 65, 3), np.uint8)), "65, 3)"),
    "outlines below": (lambda: view(1, outlines=outline([(0, 128)])[None]), "y up to 128"),
    "an outline of a hole alone": (lambda: view(1, outlines=outline([], [(1, 1)])[None]), "rings"),
    "fewer outlines than objects": (lambda: view(2, outlines=outline()[None]), "'outlines': 1"),
    "fields of unequal length": (lambda: view(2, scores=[1.0, 1.0, 1.0]), "'scores': 3"),
    "a view of something else": (lambda: Observation(view(), [1]), "Observation.top is list"),
    "an unknown tool": (lambda: Observation(view(), view(), 2), "end_effector is 2"),
    "fewer slots than objects": (lambda: Observation(view(2), view(), 0, (1, 1)), "(1, 1)"),
    "three slots": (lambda: Observation(view(), view(), 0, (1, 1, 1)), "(1, 1, 1)"),
    "an unknown kind": (lambda: PromptImage("a", "thing", view(), view()), "'thing'"),
    "a picture without views": (lambda: PromptImage("a", 0, None, view()), "front is NoneType"),
    "no tokens": (lambda: EncodedPrompt(()), "empty"),
    "a negative word": (lambda: EncodedPrompt((1, -5)), "-5"),
    "a word as a truth": (lambda: EncodedPrompt((True,)), "True"),
    "a word as text": (lambda: EncodedPrompt(("put",)), "'put'"),
    "a bin too high": (lambda: Action([50] + [0] * 11), "[50, 0"),
    "a negative bin": (lambda: Action([0] * 11 + [-1]), ", -1]"),
    "eleven bins": (lambda: Action([0] * 11), "(11,)"),
    "bins as fractions": (lambda: Action([0.5] * 12), "float64"),
    "an unknown primitive": (lambda: Action([0] * 12, 2), "primitive is 2"),
    "a fraction above 1": (lambda: Action.from_fractions([1.5] + [0] * 11), "1.5"),
    "a fraction below 0": (lambda: Action.from_fractions([-0.5] + [0] * 11), "-0.5"),
    "a fraction not a number": (lambda: Action.from_fractions([np.nan] + [0] * 11), "nan"),
    "confidence of four": (lambda: decision(confidence=np.ones(4)), "(4,)"),
    "a head missing": (lambda: decision(logits={HEADS[0]: np.zeros(150)}), "pose0_position"),
    "logits of a wrong size": (
        lambda: decision(logits={head: np.zeros(150, np.float32) for head in HEADS}),
        "logits[pose0_rotation] is float32 (150,)",
    ),
}


@pytest.mark.parametrize(("build", "got"), INVALID.values(), ids=INVALID.keys())
def test_what_is_refused_is_quoted_and_what_is_valid_named(build, got):
    with pytest.raises(VimaError) as caught:
        build()
    assert caught.value.code == "INVALID_VALUE"
    assert got in str(caught.value)
    assert "valid: " in str(caught.value)


@given(st.integers(0, 3), st.integers(0, 3), st.none() | st.tuples(*[st.integers(-1, 4)] * 2))
def test_slots_hold_at_least_the_objects_and_default_to_the_fuller_view(front, top, slots):
    views = view(front), view(top)
    if slots is not None and (slots[0] < front or slots[1] < top):
        with pytest.raises(VimaError):
            Observation(*views, slots=slots)
    else:
        fuller = max(front, top)
        assert Observation(*views, slots=slots).slot_counts == (slots or (fuller, fuller))


# --- what stays as it was built


IMAGE = PromptImage("a", AssetKind.OBJECT, view(), view(0))
VALUES = [view(), Observation(view(), view()), IMAGE, EncodedPrompt((1,)), decision().action]


@pytest.mark.parametrize("value", [*VALUES, decision()], ids=lambda value: type(value).__name__)
def test_values_are_frozen(value):
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, getattr(value, field.name))
        held = getattr(value, field.name)
        if isinstance(held, np.ndarray):
            with pytest.raises(ValueError, match="read-only"):
                held[...] = 0


def test_the_callers_arrays_are_copied_and_stay_writable():
    callers = fields(2)
    objects = ViewObjects(**callers)
    numbers = np.ones(12, np.int64)
    confidence = np.ones(12, np.float32)
    logits = dict(decision().logits)
    logits[HEADS[0]] = np.ones(150, np.float32)
    made = decision(action=Action(numbers), confidence=confidence, logits=logits)
    for array in (*callers.values(), numbers, confidence, logits[HEADS[0]]):
        array[...] = 0
    assert objects.boxes.all()
    assert objects.crops.all()
    assert objects.scores.all()
    assert objects.has_outlines
    assert made.action.bins.all()
    assert made.confidence.all()
    assert made.logits[HEADS[0]].all()


def test_arrays_have_the_dtypes_of_the_table():
    objects = view(1, boxes=np.ones((1, 4), np.int16), scores=np.ones(1, np.float64))
    dtypes = [array.dtype for array in objects.fields]
    assert dtypes == [np.int64, np.uint8, np.float32, np.int64, np.uint8]


def test_nothing_seen_is_a_view_too():
    nothing = ViewObjects.empty()
    assert len(nothing) == 0
    assert nothing.boxes.shape == (0, 4)
    assert nothing.crops.shape == (0, 3, CROP_SIZE, CROP_SIZE)
    assert nothing.outlines.shape == (0, 64, 3)
    assert not nothing.has_outlines


def test_objects_without_outlines_have_unknown_ones():
    objects = view(2, outlines=None)
    np.testing.assert_array_equal(objects.outlines, np.zeros((2, 64, 3)))
    assert not objects.has_outlines


@pytest.mark.parametrize("places", [[2, 0], [], np.array([True, False, True])])
def test_objects_are_taken_in_any_order(places):
    objects = view(3)
    for got, values in zip(objects.at(places).fields, objects.fields, strict=True):
        np.testing.assert_array_equal(got, values[places])


def test_enums_are_read_from_numbers_and_kinds_from_names():
    assert AssetKind("scene") is AssetKind.SCENE
    assert PromptImage("a", "object", view(), view()).kind is AssetKind.OBJECT
    assert Observation(view(), view(), np.uint8(1)).end_effector is EndEffector.SPATULA
    assert Action([0] * 12, 1).primitive is Primitive.SWEEP


def test_pictures_are_listed_in_reading_order_with_repeats():
    other = PromptImage("b", AssetKind.SCENE, view(), view())
    prompt = EncodedPrompt((1, IMAGE, np.int64(2), other, IMAGE))
    assert prompt.images == (IMAGE, other, IMAGE)
    assert prompt.tokens == (1, IMAGE, 2, other, IMAGE)
