import math
from dataclasses import replace

import numpy as np
import pytest

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.policy_frame import project_to_view
from vima_ros.sim.domain_randomization import (
    CameraError,
    ClutterPatch,
    VisualAppearance,
    random_appearance,
)
from vima_ros.sim.rendering.prompt_renderer import render_prompt_images
from vima_ros.sim.scene import SCENES, Scene, SceneObject
from vima_ros.sim.tabletop import Tabletop
from vima_ros.specs import VIEWS, AssetKind

RED = SceneObject("a", "small_block", "red", (0.5, 0.0))


def middle(appearance, view="top", place=(0.5, 0.0)):
    """Row and column of a small block's middle."""
    scene = Scene((replace(RED, position_xy=place),), appearance=appearance)
    return np.argwhere(render_prompt_images(scene, AssetKind.SCENE)[view].mask).mean(axis=0)


def test_strength_0_is_vima_benchs_appearance_and_1_is_another():
    assert random_appearance(np.random.default_rng(0), 0.0, Workspace()) == VisualAppearance()
    rngs = map(np.random.default_rng, range(20))
    appearances = [random_appearance(rng, 1.0, Workspace()) for rng in rngs]
    assert len(set(appearances)) == 20
    assert appearances[3] == random_appearance(np.random.default_rng(3), 1.0, Workspace())
    assert any(appearance.clutter for appearance in appearances)
    assert {appearance.shadows for appearance in appearances} == {False, True}


@pytest.mark.parametrize("strength", [-0.1, 1.1, math.nan])
def test_another_strength_is_refused(strength):
    with pytest.raises(VimaError, match="0 to 1"):
        random_appearance(np.random.default_rng(0), strength, Workspace())


@pytest.mark.parametrize("change", [{"light_direction": (0, 0, 1)}, {"ambient": math.nan}])
def test_an_impossible_appearance_is_refused(change):
    with pytest.raises(VimaError, match="light from above"):
        VisualAppearance(**change)


@pytest.mark.parametrize("seed", range(6))
def test_masks_and_poses_do_not_depend_on_the_appearance(seed):
    """The camera may be off by some pixels; names, ids and poses stay."""
    scene = SCENES["put"]
    appearance = random_appearance(np.random.default_rng(seed), 1.0, Workspace())
    odd = replace(scene, appearance=appearance)
    with Tabletop(scene) as plain, Tabletop(odd) as tabletop:
        for item in scene.objects:
            want = plain.object_pose(item.name).position
            assert tabletop.object_pose(item.name).position == pytest.approx(want)
        for view in VIEWS:
            assert (tabletop.render(view) != plain.render(view)).any()
            mask, other = tabletop.render_mask(view), plain.render_mask(view)
            assert set(np.unique(mask)) == set(np.unique(other))
            for id_ in (1, 2, 3):
                shift = np.argwhere(mask == id_).mean(0) - np.argwhere(other == id_).mean(0)
                assert np.abs(shift).max() < 10


@pytest.mark.parametrize("view", VIEWS)
def test_a_camera_error_moves_the_image_accordingly(view):
    straight = middle(VisualAppearance(), view)
    shifted = middle(VisualAppearance(**{view: CameraError(shift=(0.02, -0.04))}), view)
    want = project_to_view(view, [0.5 - 0.02, 0.04, 0.0]) - project_to_view(view, [0.5, 0.0, 0.0])
    assert shifted - straight == pytest.approx(want, abs=0.6)
    place = (0.5, 0.3)
    larger = middle(VisualAppearance(**{view: CameraError(zoom=1.1)}), view, place)
    centre = np.array([63.5, 127.5])
    assert larger - centre == pytest.approx(
        1.1 * (middle(VisualAppearance(), view, place) - centre), abs=1.0
    )
    rolled = middle(VisualAppearance(**{view: CameraError(roll=0.1)}), view, place)
    offset = rolled - centre
    assert math.hypot(*offset) == pytest.approx(
        math.hypot(*(middle(VisualAppearance(), view, place) - centre)), abs=1.5
    )
    assert abs(offset[0] - (middle(VisualAppearance(), view, place) - centre)[0]) > 5


def test_colours_and_clutter_are_visible_and_clutter_is_background():
    patch = ClutterPatch((0.45, 0.2), (0.05, 0.03), 0.0, (0.0, 1.0, 0.0))
    appearance = VisualAppearance(
        sheet=(0.5, 0.0, 0.0), ground=(0.0, 0.0, 0.5), clutter=(patch, patch)
    )
    scene = Scene((replace(RED, position_xy=(0.45, 0.2)),), appearance=appearance)
    image = render_prompt_images(scene, AssetKind.SCENE)["top"]
    colours = np.unique(image.rgb[image.mask == 0], axis=0)
    assert colours == pytest.approx(np.array([[0, 0, 120], [0, 239, 0], [120, 0, 0]]), abs=1)
    assert (image.mask == 1).sum() == pytest.approx(57, abs=8)  # over the patches


def test_shadows_are_rendered_only_on_request():
    light = (0.8, 0.5, -1.0)
    scenes = [
        Scene((RED,), appearance=VisualAppearance(light, shadows=shadows))
        for shadows in (False, True)
    ]
    plain, shaded = (render_prompt_images(scene, AssetKind.SCENE)["top"] for scene in scenes)
    assert np.array_equal(plain.mask, shaded.mask)
    darker = (shaded.rgb < plain.rgb).any(axis=2) & (plain.mask == 0)
    assert 20 < darker.sum() < 500
