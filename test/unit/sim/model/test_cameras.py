import numpy as np
import pytest

from vima_ros.sim.model.mujoco_backend import mujoco
from vima_ros.sim.model.scene_model import build_model
from vima_ros.sim.rendering.renderers import ViewRenderer
from vima_ros.sim.scene import Scene, SceneObject
from vima_ros.sim.tabletop import Tabletop

COUNT = 10


def measured(view, x, y, z):
    """VIMA-Bench's images, measured: row and column of a world point."""
    if view == "top":
        return 63.0 + 251.0 * (x - 0.5), 128.0 + 251.0 * y
    return 63.0 + 177.8 * (x - 0.41) - 177.8 * z, 128.0 + 251.4 * y


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("view", ["front", "top"])
def test_markers_are_rendered_where_the_formula_projects_them(view, seed):
    """Floating cubes, apart in y: an outline is centred on the cube's centre, from anywhere."""
    random = np.random.default_rng(seed)
    rows = np.linspace(0.30, 0.70, COUNT)
    points = np.stack(
        [
            rows,
            random.permutation(np.linspace(-0.46, 0.46, COUNT)),
            random.uniform(0.015, 0.25, COUNT),
        ],
        axis=1,
    )
    scene = Scene(
        tuple(SceneObject(f"m{i}", "small_block", "red", (0.5, 0)) for i in range(COUNT))
    )
    model = build_model(scene)
    data = mujoco.MjData(model)
    for i, point in enumerate(points):
        address = model.jnt_qposadr[model.body(f"object/m{i}").jntadr[0]]
        data.qpos[address : address + 3] = point
    mujoco.mj_forward(model, data)
    renderer = ViewRenderer(model, scene)
    mask = renderer.mask(data, view)
    renderer.close()
    seen = 0
    for i, point in enumerate(points):
        pixels = np.argwhere(mask == i + 1)
        row, column = measured(view, *point)
        if 8 < row < 119:  # wholly in the image
            seen += 1
            assert pixels.mean(axis=0) == pytest.approx(np.array([row, column]), abs=0.5)
    assert seen >= COUNT // 2


def test_the_sheet_is_the_workspace_and_appears_as_in_vima_bench():
    """Corner pixels and colours of VIMA-Bench's frames; the sheet is grey 47, the ground 239."""
    with Tabletop(Scene(())) as tabletop:
        for view, corners in (("top", (1, 125, 3, 253)), ("front", (35, 123, 3, 253))):
            image = tabletop.render(view)
            assert set(np.unique(image)) == {47, 239}
            rows, columns = np.nonzero((image == 47).all(axis=2))
            assert (rows.min(), rows.max(), columns.min(), columns.max()) == corners
