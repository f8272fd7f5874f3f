import math

import numpy as np
import pytest

from vima_ros.errors import VimaError
from vima_ros.sim.model.generated_textures import (
    MIN_DISTANCE,
    TEXTURE_FAMILIES,
    find_texture_image,
    generated_texture,
    generated_texture_name,
    min_distance,
)
from vima_ros.sim.model.mujoco_backend import mujoco
from vima_ros.sim.model.scene_model import build_model
from vima_ros.sim.model.shapes import SHAPES, find_shape
from vima_ros.sim.model.shapes.generated import (
    ASYMMETRIC_FAMILIES,
    BASE_FAMILIES,
    MAX_SIMILARITY,
    MOVABLE_FAMILIES,
    generated_shape_name,
    polar_cells,
    similarity,
)
from vima_ros.sim.model.textures import TEXTURES, texture_image
from vima_ros.sim.rendering.prompt_renderer import render_prompt_images
from vima_ros.sim.scene import Scene, SceneObject
from vima_ros.sim.tasks.splits import ALL_TEXTURES, NOVEL_CONTAINERS, NOVEL_SHAPES
from vima_ros.specs import AssetKind

NUMBERS = range(4)
SHAPE_NAMES = [
    generated_shape_name(family, number)
    for family in MOVABLE_FAMILIES + BASE_FAMILIES
    for number in NUMBERS
]
TEXTURE_NAMES = [
    generated_texture_name(family, number) for family in TEXTURE_FAMILIES for number in NUMBERS
]


def area(polygon):
    x, y = np.array(polygon).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def turned(outline, angle, scale=1.0):
    turn = scale * np.array(
        [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
    )
    return tuple(tuple(map(tuple, np.array(polygon) @ turn)) for polygon in outline)


def test_there_are_eight_families_of_shapes_and_of_textures():
    assert (len(MOVABLE_FAMILIES), len(BASE_FAMILIES), len(TEXTURE_FAMILIES)) == (8, 2, 8)
    assert len({find_shape(name).outline for name in SHAPE_NAMES}) == len(SHAPE_NAMES)
    assert not {*SHAPE_NAMES, *TEXTURE_NAMES} & {*SHAPES, *TEXTURES}


@pytest.mark.parametrize("name", NOVEL_SHAPES + NOVEL_CONTAINERS)
def test_a_shape_of_level_3_is_found_out_at_any_turn_and_scale(name):
    outline = SHAPES[name].outline
    other = polar_cells(turned(outline, 1.23, 0.8))
    assert similarity(other, polar_cells(outline)[None]) > 0.92  # of at most 1.5 degrees off


def test_no_generated_shape_is_like_one_of_levels_3_and_4():
    novel = [SHAPES[name].outline for name in NOVEL_SHAPES + NOVEL_CONTAINERS]
    cells = np.stack([polar_cells(turned(outline, 0.02)) for outline in novel])
    for name in SHAPE_NAMES:
        assert similarity(polar_cells(find_shape(name).outline), cells) < MAX_SIMILARITY + 0.03


def test_no_generated_texture_is_like_one_of_vima_bench():
    for name in ALL_TEXTURES:
        assert min_distance(texture_image(name)) == 0
    for name in TEXTURE_NAMES:
        assert min_distance(generated_texture(name)) >= MIN_DISTANCE


@pytest.mark.parametrize("name", SHAPE_NAMES)
def test_outlines_run_around_their_centroid_and_holes_the_other_way(name):
    shape = find_shape(name)
    outer, *holes = shape.outline
    assert area(outer) > 0
    assert all(area(hole) < 0 for hole in holes)
    assert shape.movable == bool(shape.firm_grasp_points)
    assert 0.079 < max(shape.size[:2]) < (0.106 if shape.movable else 0.211)


@pytest.mark.parametrize("family", ASYMMETRIC_FAMILIES)
def test_an_asymmetric_shape_is_unlike_itself_turned(family):
    areas = np.arange(32)[:, None] + 0.5  # of the polar grid's cells
    for number in NUMBERS:
        shape = find_shape(generated_shape_name(family, number))
        assert shape.symmetry == pytest.approx(2 * math.pi)
        own = polar_cells(shape.outline)
        for degrees in (30, 60, 90, 120, 150, 180):
            other = polar_cells(turned(shape.outline, math.radians(degrees)))
            assert (areas * own * other).sum() < 0.9 * (areas * np.maximum(own, other)).sum()


@pytest.mark.parametrize("family", MOVABLE_FAMILIES + BASE_FAMILIES)
def test_a_mask_is_the_outline_seen_from_above(family):
    shape = find_shape(generated_shape_name(family, 1))
    item = SceneObject("a", generated_shape_name(family, 1), TEXTURE_NAMES[5], (0.5, 0.0), 0.3)
    mask = render_prompt_images(Scene((item,)), AssetKind.SCENE)["top"].mask
    assert mask.sum() / 251.0**2 == pytest.approx(sum(map(area, shape.outline)), rel=0.07)


@pytest.mark.parametrize("family", MOVABLE_FAMILIES)
def test_a_shape_rests_where_it_is_put(family):
    name = generated_shape_name(family, 2)
    model = build_model(Scene((SceneObject("a", name, TEXTURE_NAMES[0], (0.5, 0.0), 0.4),)))
    data = mujoco.MjData(model)
    start = data.qpos[:7].copy()
    for _ in range(250):
        mujoco.mj_step(model, data)
    assert data.qpos[:3] == pytest.approx(start[:3], abs=3e-4)
    assert data.qpos[3:7] == pytest.approx(start[3:7], abs=2e-3)


@pytest.mark.parametrize("name", TEXTURE_NAMES)
def test_a_dark_variant_has_the_same_pattern_darker(name):
    image, dark = find_texture_image(name), find_texture_image(f"dark_{name}")
    assert image.shape == dark.shape == ((1, 1, 3) if "plain" in name else (128, 128, 3))
    assert (dark <= image).all()
    assert 25 < image.max(axis=2).mean() - dark.max(axis=2).mean() < 80


def test_unknown_names_are_refused_with_what_is_valid():
    for name in ("generated_star_5", "generated_spoon_005", "generated_stripes_005"):
        with pytest.raises(VimaError, match="or the name of a generated one") as caught:
            find_shape(name)
        assert caught.value.code == "INVALID_VALUE"
    with pytest.raises(VimaError, match="texture 'generated_star_005' of a"):
        SceneObject("a", "block", "generated_star_005", (0.5, 0.0))
