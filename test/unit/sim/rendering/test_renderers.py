import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from vima_ros.errors import VimaError
from vima_ros.policy_frame import project_to_view
from vima_ros.sim.model.mujoco_backend import mujoco
from vima_ros.sim.model.textures import COLOURS
from vima_ros.sim.rendering import offscreen_context
from vima_ros.sim.rendering.prompt_renderer import render_prompt_images
from vima_ros.sim.scene import SCENES, Scene, SceneObject, random_scene
from vima_ros.sim.tabletop import Tabletop
from vima_ros.specs import AssetKind

SRC = Path(__file__).parents[4] / "src"
VIEWS = ("front", "top")


def box(mask):
    """First and last row, first and last column of a mask."""
    rows, columns = np.nonzero(mask)
    return np.array([rows.min(), rows.max(), columns.min(), columns.max()])


def hue(image):
    """Colour without brightness: shading darkens all three alike."""
    image = image.astype(float)
    return image / image.max(axis=-1, keepdims=True)


@pytest.mark.parametrize("seed", range(4))
def test_mask_ids_follow_the_scene_and_agree_with_the_colours(seed):
    scene = random_scene(seed, movable=3, fixed=1)
    with Tabletop(scene) as tabletop:
        for view in VIEWS:
            image, mask = tabletop.render(view), tabletop.render_mask(view)
            assert image.shape == (128, 256, 3)
            assert image.dtype == mask.dtype == np.uint8
            assert set(np.unique(mask)) <= set(range(5))
            assert set(np.unique(image[mask == 0])) == {47, 239}
            for index, item in enumerate(scene.objects):
                here = mask == index + 1
                assert here.any()
                want = np.array(COLOURS[item.texture], float)
                assert np.abs(hue(image[here]) - want / want.max()).max() < 0.03
                row, column = project_to_view(view, [*item.position_xy, 0.0])
                first, last, left, right = box(here)
                assert left - 1 < column < right + 1
                assert first - 1 < row < last + 1


def test_a_top_face_has_the_colour_that_it_has_in_vima_bench():
    """RGB 239, 81, 83 of the red ones, 15/16 of the texture's."""
    with Tabletop(SCENES["put"]) as tabletop:
        image, mask = tabletop.render("top"), tabletop.render_mask("top")
        assert np.abs(image[mask == 1].astype(int) - (239, 81, 83)).max() <= 1


def test_same_seed_same_pixels_and_views_do_not_disturb_the_physics():
    views = []
    for render_first in (False, True):
        with Tabletop(random_scene(3)) as tabletop:
            for _ in range(5):
                tabletop.advance(0.1)
                if render_first:
                    tabletop.render("front")
            views.append([tabletop.render(v) for v in VIEWS] + [tabletop.render_mask("top")])
    for first, second in zip(*views, strict=True):
        assert np.array_equal(first, second)


def test_the_tool_is_rendered_only_on_request():
    images = {}
    for show in (False, True):
        with Tabletop(Scene(()), show_tool=show) as tabletop:
            images[show] = tabletop.render("top")
            assert not tabletop.render_mask("top").any()
    assert (images[False] != images[True]).any()
    assert set(np.unique(images[False])) == {47, 239}


# First and last row and column, top then front, of VIMA-Bench's own prompt images.
PROMPTS = {
    "block": ((55, 71, 120, 136), (67, 91, 120, 136)),
    "small_block": ((37, 89, 102, 154), (42, 116, 102, 154)),
    "cross": ((51, 75, 116, 140), (66, 87, 116, 140)),
    "l_block": ((51, 75, 116, 140), (66, 87, 116, 140)),
    "triangle": ((51, 75, 116, 140), (66, 87, 116, 140)),
    "round": ((51, 75, 116, 140), (66, 87, 116, 140)),
    "square": ((33, 93, 98, 158), (58, 100, 98, 158)),
    "line": ((58, 68, 86, 170), (76, 82, 86, 170)),
    "three_sided_rectangle": ((30, 101, 90, 166), (55, 106, 90, 166)),
}


@pytest.mark.parametrize("shape", PROMPTS)
def test_prompt_images_have_the_size_of_vima_benchs(shape):
    """Wherever it stands in the scene; within 2 px."""
    scene = Scene((SceneObject("a", shape, "green", (0.6, 0.2), 0.7),))
    views = render_prompt_images(scene, AssetKind.OBJECT)
    for view, want in zip(("top", "front"), PROMPTS[shape], strict=True):
        image, mask = views[view]
        assert set(np.unique(mask)) == {0, 1}
        assert (image[mask == 0] == 255).all()
        assert (image[mask == 1] != 255).any(axis=1).all()
        assert np.abs(box(mask) - want).max() <= 2


def test_a_prompt_shows_one_object_or_the_whole_scene():
    with pytest.raises(VimaError, match="exactly one"):
        render_prompt_images(SCENES["put"], AssetKind.OBJECT)
    views = render_prompt_images(SCENES["put"], AssetKind.SCENE)
    with Tabletop(SCENES["put"]) as tabletop:
        for view in VIEWS:
            assert np.array_equal(views[view].rgb, tabletop.render(view))
            assert np.array_equal(views[view].mask, tabletop.render_mask(view))


def test_the_bowl_is_as_large_as_vima_benchs():
    with Tabletop(SCENES["put"]) as tabletop:
        for view, want in (("top", (50, 50)), ("front", (43, 50))):
            first, last, left, right = box(tabletop.render_mask(view) == 2)
            assert (last - first + 1, right - left + 1) == pytest.approx(want, abs=2)


def test_an_overview_has_the_size_asked_for_up_to_a_limit():
    with Tabletop(SCENES["put"]) as tabletop:
        assert tabletop.render_overview(320, 200).shape == (200, 320, 3)
        assert tabletop.render_overview(160, 120).shape == (120, 160, 3)
        with pytest.raises(VimaError, match="1920"):
            tabletop.render_overview(4000, 200)


def test_unknown_views_and_names_are_refused():
    with Tabletop(SCENES["put"]) as tabletop:
        for call in (tabletop.render, tabletop.render_mask):
            with pytest.raises(VimaError, match="front, top"):
                call("side")
        with pytest.raises(VimaError, match="red_block"):
            tabletop.object_pose("red")


def test_reset_changes_the_image_and_close_may_be_called_twice():
    tabletop = Tabletop(SCENES["put"])
    before = tabletop.render("top")
    tabletop.reset(SCENES["rotate"])
    assert (tabletop.render("top") != before).any()
    tabletop.reset(SCENES["put"])
    assert np.array_equal(tabletop.render("top"), before)
    tabletop.close()
    tabletop.close()


def test_a_renderer_that_cannot_start_names_the_packages_to_install(monkeypatch):
    def broken(*_, **__):
        raise ImportError("no GL")

    monkeypatch.setattr(offscreen_context.mujoco, "GLContext", broken)
    with ThreadPoolExecutor(1) as new_thread:  # this one may have its OpenGL context already
        rendered = new_thread.submit(lambda: Tabletop(SCENES["put"]).render("top"))
        with pytest.raises(VimaError, match="libegl1") as caught:
            rendered.result()
    assert caught.value.code == "NO_RENDERER"


@pytest.mark.slow
def test_egl_is_chosen_unless_the_user_chose():
    program = "import os, vima_ros.sim.model.mujoco_backend; print(os.environ['MUJOCO_GL'])"
    for given, want in (({}, "egl"), ({"MUJOCO_GL": "disable"}, "disable")):
        environment = {k: v for k, v in os.environ.items() if k != "MUJOCO_GL"} | given
        environment["PYTHONPATH"] = str(SRC)
        command = [sys.executable, "-c", program]
        got = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert got.stdout.strip() == want


def test_triton_is_loaded_before_the_renderer_whose_llvm_it_would_take(tmp_path):
    """PyTorch for CUDA imports it with a policy; after llvmpipe's LLVM it crashes."""
    told = "print('LLVM' in open('/proc/self/maps').read())\n"
    (tmp_path / "triton.py").write_text(told)
    program = (
        "from vima_ros.sim.rendering.prompt_renderer import render_prompt_images\n"
        "from vima_ros.sim.scene import Scene, SceneObject\n"
        "from vima_ros.specs import AssetKind\n"
        "scene = Scene((SceneObject('a', 'block', 'rainbow', (0.5, 0.0)),))\n"
        "render_prompt_images(scene, AssetKind.OBJECT)\n"
    ) + told
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{SRC}"}
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    at_import, after_rendering = run.stdout.split()
    if after_rendering == "False":
        pytest.skip("no software renderer here")
    assert at_import == "False"


def test_textures_are_upright_in_prompt_images():
    """As in VIMA-Bench's: a block's stripes run up, its rainbow begins with red at the top."""
    faces = {}
    for texture in ("red_and_blue_stripe", "rainbow"):
        scene = Scene((SceneObject("a", "block", texture, (0.5, 0.0)),))
        image, mask = render_prompt_images(scene, AssetKind.OBJECT)["top"]
        top, bottom, left, right = box(mask)
        faces[texture] = image[top : bottom + 1, left : right + 1].astype(float)
    stripes = faces["red_and_blue_stripe"][..., 0]
    assert np.ptp(stripes, axis=0).max() < 3
    assert np.ptp(stripes, axis=1).min() > 100
    rainbow = faces["rainbow"]
    assert np.ptp(rainbow, axis=1).max() < 3
    assert rainbow[0].mean(axis=0).argmax() == 0
    assert rainbow[len(rainbow) // 2].mean(axis=0).argmax() == 1
    assert rainbow[-1].mean(axis=0).argmax() == 2


@pytest.mark.filterwarnings("error")  # what goes wrong in a destructor is only warned of
def test_tabletops_of_one_thread_do_not_disturb_each_others_images():
    """They share an OpenGL context; one that ended in another thread leaves it alone."""
    textured = Scene((SceneObject("a", "ring", "tiger", (0.5, 0.0)),))
    with Tabletop(SCENES["put"]) as first, Tabletop(textured) as second:
        views = [world.render(view) for world in (first, second) for view in VIEWS]
        first.render_overview(320, 200)
        left = []
        thread = threading.Thread(target=lambda: left.append(rendered()))
        thread.start()
        thread.join()
        left.clear()
        again = [world.render(view) for world in (first, second) for view in VIEWS]
    for one, other in zip(views, again, strict=True):
        assert np.array_equal(one, other)


def rendered():
    world = Tabletop(SCENES["put"])
    world.render("top")
    return world


def test_what_has_not_moved_looks_the_same_and_what_has_moved_does_not():
    with Tabletop(SCENES["put"]) as tabletop:
        tabletop.advance(1.0)
        images = [tabletop.render(view) for view in VIEWS]
        masks = [tabletop.render_mask(view) for view in VIEWS]
        for image in images + masks:
            image[:] = 7  # its own: a caller may draw on it
        tabletop.advance(1.0)
        again = [tabletop.render(view) for view in VIEWS]
        assert all((image != 7).any() for image in again)
        assert all((tabletop.render_mask(view) != 7).all() for view in VIEWS)
        tabletop.data.qpos[[0, 7]] += 0.05  # x of both objects
        mujoco.mj_forward(tabletop.model, tabletop.data)
        for view, image in zip(VIEWS, again, strict=True):
            assert (tabletop.render(view) != image).any()
