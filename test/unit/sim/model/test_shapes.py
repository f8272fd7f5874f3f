import math

import numpy as np
import pytest

from vima_ros.sim.model.meshes import box, extrude, revolve
from vima_ros.sim.model.mujoco_backend import mujoco
from vima_ros.sim.model.polygons import depth
from vima_ros.sim.model.scene_model import build_model
from vima_ros.sim.model.shapes import SHAPES
from vima_ros.sim.rendering.prompt_renderer import render_prompt_images
from vima_ros.sim.scene import Scene, SceneObject
from vima_ros.specs import AssetKind

MOVABLE = [name for name, shape in SHAPES.items() if shape.movable]
SEAM = np.array([1.1e-5, 0.7e-5])  # a ray between two parts of an object would miss both
FIXED = [name for name, shape in SHAPES.items() if not shape.movable]


def area(polygon):
    x, y = np.array(polygon).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def volume(mesh):
    """Of a closed mesh whose triangles face outwards."""
    a, b, c = np.moveaxis(mesh.corners, 1, 0)
    return float((a * np.cross(b, c)).sum() / 6)


def turned(outline, angle):
    """About the middle of its bounding circle (the pentagon's is not its frame's origin)."""
    corners = np.array(outline[0])
    middle = corners.mean(axis=0)
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return tuple(
        tuple(map(tuple, (np.array(polygon) - middle) @ turn.T + middle)) for polygon in outline
    )


def grid_within(shape):
    reach = np.linspace(-shape.radius, shape.radius, 81)
    return np.stack(np.meshgrid(reach, reach), axis=-1).reshape(-1, 2) + SEAM


def test_every_object_of_vima_bench_is_there():
    assert len(SHAPES) == 20 + 6 + 5
    roles = {shape.role for shape in SHAPES.values()}
    assert roles == {"movable", "container", "sweep"}
    assert SHAPES["small_block"].movable
    profiles = {name: shape.profile for name, shape in SHAPES.items() if shape.profile}
    square = {"block", "shorter_block", "container", "frame", "square", "pallet"}
    assert profiles == dict.fromkeys(square, "square") | dict.fromkeys(
        ["ring", "round", "bowl", "pan"], "circle"
    )


@pytest.mark.parametrize("name", SHAPES)
def test_outer_outlines_run_counter_clockwise_and_holes_clockwise(name):
    outer, *holes = SHAPES[name].outline
    assert area(outer) > 0
    assert all(area(hole) < 0 for hole in holes)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_the_symmetry_maps_the_outline_to_itself_and_no_smaller_turn_does(name):
    shape = SHAPES[name]
    points = grid_within(shape)
    inside = depth(points, shape.outline) > 0

    def differs(angle):
        return (inside != (depth(points, turned(shape.outline, angle)) > 0)).mean()

    if shape.symmetry == 0.0:
        if name != "pan":
            assert differs(0.7) < 0.02
        return
    assert differs(shape.symmetry) < 0.02
    for part in range(2, 7):
        assert differs(shape.symmetry / part) > 0.02


@pytest.mark.parametrize("name", MOVABLE)
def test_grasp_points_are_where_the_cup_finds_the_top(name):
    """Dropping onto each tenth of them, a ball comes to rest on top of it."""
    shape = SHAPES[name]
    points = np.array(shape.grasp_points)
    assert len(points) > 20
    depths = depth(points, shape.outline)
    assert depths.min() >= 0.004
    assert depths[0] == depths.max()
    model = build_model(Scene((SceneObject("a", name, "red", (0.5, 0.0)),)))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    tops = shape.rest_height + (shape.height / 2 if shape.rest_height else shape.height)
    only = np.array([0, 0, 0, 1, 0, 0], np.uint8)  # what is touched
    for x, y in points[:: max(len(points) // 10, 1)] + SEAM:
        start, down = np.array([0.5 + x, y, 1.0]), np.array([0.0, 0.0, -1.0])
        found = np.zeros(1, np.int32)
        distance = mujoco.mj_ray(model, data, start, down, only, 1, -1, found, None)
        assert 1.0 - distance == pytest.approx(tops, abs=1e-3)


@pytest.mark.parametrize("name", ["ring", "letter_a", "letter_r", "l_block", "letter_v"])
def test_collision_parts_and_the_outline_agree(name):
    shape = SHAPES[name]
    points = grid_within(shape)
    depths = depth(points, shape.outline)
    model = build_model(Scene((SceneObject("a", name, "red", (0.5, 0.0)),)))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    only = np.array([0, 0, 0, 1, 0, 0], np.uint8)
    for (x, y), deep in list(zip(points, depths, strict=True))[::7]:
        start, down = np.array([0.5 + x, y, 1.0]), np.array([0.0, 0.0, -1.0])
        found = np.zeros(1, np.int32)
        hit = mujoco.mj_ray(model, data, start, down, only, 1, -1, found, None) >= 0
        if abs(deep) > 0.001:
            assert hit == (deep > 0)


@pytest.mark.parametrize("name", FIXED)
def test_what_is_fixed_cannot_be_grasped(name):
    assert SHAPES[name].grasp_points == ()


@pytest.mark.parametrize("name", SHAPES)
def test_the_outline_is_the_top_view(name):
    shape = SHAPES[name]
    item = SceneObject("a", name, "red", (0.5, 0.0), 0.3)
    mask = render_prompt_images(Scene((item,)), AssetKind.SCENE)["top"].mask
    seen = mask.sum() / 251.0**2
    want = area(shape.outline[0]) + sum(area(hole) for hole in shape.outline[1:])
    if name == "pallet":  # between its boards the table is seen
        want *= 0.68
    assert seen == pytest.approx(want, rel=0.07)


@pytest.mark.parametrize("name", MOVABLE)
def test_it_rests_where_it_should_and_stays(name):
    model = build_model(Scene((SceneObject("a", name, "red", (0.5, 0.0), 0.4),)))
    data = mujoco.MjData(model)
    start = data.qpos[:7].copy()
    for _ in range(250):
        mujoco.mj_step(model, data)
    assert np.abs(data.qpos[:2] - start[:2]).max() < 2e-5
    assert data.qpos[2] == pytest.approx(SHAPES[name].rest_height, abs=2e-4)
    assert np.abs(data.qpos[3:7] - start[3:7]).max() < 1.5e-3


@pytest.mark.parametrize("name", ["block", "letter_g", "ring", "heart"])
def test_scaling_scales_all_of_it(name):
    shape, twice = SHAPES[name], SHAPES[name].scaled(2.0, 0.5)
    assert twice.size == pytest.approx((2 * shape.size[0], 2 * shape.size[1], shape.size[2]))
    assert twice.rest_height == pytest.approx(shape.rest_height)
    assert twice.mesh.corners.max(axis=(0, 1)) == pytest.approx(
        shape.mesh.corners.max(axis=(0, 1)) * (2, 2, 1)
    )
    assert np.array(twice.outline[0]) == pytest.approx(2 * np.array(shape.outline[0]))
    assert shape.scaled(1.0) is shape


@pytest.mark.slow
def test_a_stack_stands():
    """Each on top of what is below, as placed."""
    for name in ("letter_t", "ring", "shorter_block"):
        height = SHAPES[name].height
        items = [
            SceneObject(f"o{k}", name, "red", (0.5, 0.0), base_height=k * height) for k in range(3)
        ]
        model = build_model(Scene(tuple(items)))
        data = mujoco.MjData(model)
        before = data.qpos.copy()
        for _ in range(250):
            mujoco.mj_step(model, data)
        assert np.abs(data.qpos - before)[:21].max() < 1.5e-3


def test_meshes_are_closed_and_face_outwards():
    outline = SHAPES["letter_a"].outline
    want = (area(outline[0]) + area(outline[1])) * 0.03
    assert volume(extrude(outline, 0.03, 0.1)) == pytest.approx(want)
    assert volume(box((1, 2, 3), (4, 5, 6))) == pytest.approx(6)
    disc = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
    assert volume(revolve(disc, 200, 0.5)) == pytest.approx(math.pi, rel=1e-3)
    normals = extrude(outline, 0.03, 0.1).normals
    assert np.linalg.norm(normals, axis=-1) == pytest.approx(1.0)


def test_texture_tiles_lie_in_the_plane_on_top_and_rotate_with_it():
    square = (((-0.1, -0.1), (0.1, -0.1), (0.1, 0.1), (-0.1, 0.1)),)
    plain, quarter = extrude(square, 0.1, 0.2), extrude(square, 0.1, 0.2, math.pi / 2)
    top = plain.corners[:2]
    assert plain.uv[:2] == pytest.approx(top[..., :2] / 0.2 + 0.5)
    assert np.abs(quarter.uv[:2] - 0.5) == pytest.approx(np.abs(plain.uv[:2] - 0.5)[..., ::-1])
