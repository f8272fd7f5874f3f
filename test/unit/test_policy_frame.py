import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.policy_frame import CAMERAS, VIMA_WORKSPACE, project_to_view, table_to_policy

metres = st.floats(-1, 1)
views = st.sampled_from(["front", "top"])
like_vima = st.builds(
    lambda x, y, depth: Workspace((x, y), (x + depth, y + 2 * depth)),
    metres,
    metres,
    st.floats(0.1, 1),
)


def measured(view, x, y, z):
    """VIMA-Bench's images, measured: row and column of a world point."""
    if view == "top":
        return 63.0 + 251.0 * (x - 0.5), 128.0 + 251.0 * y
    return 63.0 + 177.8 * (x - 0.41) - 177.8 * z, 128.0 + 251.4 * y


@given(metres, metres, metres, st.sampled_from(["front", "top"]))
def test_project_is_the_measured_formula(x, y, z, view):
    assert project_to_view(view, [x, y, z]) == pytest.approx(
        np.array(measured(view, x, y, z)), abs=0.1
    )


def test_project_keeps_leading_axes():
    points = np.zeros((4, 5, 3))
    assert project_to_view("top", points).shape == (4, 5, 2)


def test_an_unknown_view_is_refused():
    with pytest.raises(VimaError, match="front, top") as caught:
        project_to_view("side", [0, 0, 0])
    assert caught.value.code == "INVALID_VALUE"


def test_up_in_the_image_is_towards_the_robot():
    for view in ("front", "top"):
        near, far = project_to_view(view, [0.3, 0, 0]), project_to_view(view, [0.6, 0, 0])
        assert near[0] < far[0]
        assert project_to_view(view, [0.5, 0.2, 0])[1] > project_to_view(view, [0.5, -0.2, 0])[1]
    assert math.isclose(
        project_to_view("top", [0.5, 0, 0.3])[0], project_to_view("top", [0.5, 0, 0])[0]
    )


@given(views, like_vima, st.floats(0, 1), st.floats(0, 1))
def test_another_workspace_takes_vima_benchs_place_in_the_images(view, workspace, down, right):
    """The fractions of the policy's positions are at the same pixels, in whichever workspace."""
    place, vima_place = (
        np.add(area.low, np.multiply((down, right), area.size))
        for area in (workspace, VIMA_WORKSPACE)
    )
    expected = project_to_view(view, [*vima_place, 0.0])
    assert project_to_view(view, [*place, 0.0], workspace) == pytest.approx(expected, abs=1e-6)
    column, row, one = table_to_policy(view, workspace) @ [*place, 1.0]
    assert (row, column, one) == pytest.approx((*expected, 1.0), abs=1e-6)


@given(views, st.tuples(metres, metres), st.tuples(st.floats(0.1, 2), st.floats(0.1, 2)))
def test_the_whole_of_a_workspace_of_any_shape_is_in_vima_benchs_place(view, low, size):
    workspace = Workspace(low, np.add(low, size))
    corners, vima_corners = (
        project_to_view(view, [[*area.low, 0.0], [*area.high, 0.0]], area)
        for area in (workspace, VIMA_WORKSPACE)
    )
    assert (corners[0] > vima_corners[0] - 1e-6).all()
    assert (corners[1] < vima_corners[1] + 1e-6).all()


def test_over_vima_benchs_workspace_a_camera_is_itself():
    for camera in CAMERAS.values():
        assert camera.over(VIMA_WORKSPACE) == camera
