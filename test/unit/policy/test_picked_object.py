import numpy as np
import pytest

from vima_ros.geometry import Workspace
from vima_ros.policy.picked_object import bin_pixels, picked_object
from vima_ros.policy_frame import project_to_view
from vima_ros.specs import POSITION_BINS, Action, ViewObjects


def view(*boxes):
    """A view of objects with these boxes: x centre, y centre, height, width."""
    count = len(boxes)
    crops = np.zeros((count, 3, 32, 32), np.uint8)
    return ViewObjects(np.array(boxes), crops, np.ones(count), np.arange(count))


@pytest.mark.parametrize("workspace", [Workspace(), Workspace((0.1, -0.2), (0.4, 0.4))])
@pytest.mark.parametrize("bins", [(0, 0), (49, 99), (17, 63)])
def test_a_bins_pixel_shows_where_the_arm_picks(bins, workspace):
    position = Action([*bins, *[25] * 10]).poses(workspace)[0].position
    row, column = project_to_view("top", position, workspace)
    np.testing.assert_allclose(bin_pixels()[bins], (column, row), atol=1e-4)
    assert bin_pixels().shape == (*POSITION_BINS, 2)


def test_the_smallest_object_under_the_pick_is_picked():
    bins = (25, 50)  # of the image's middle: column 128, row 63
    bowl, inside, beside = (130, 65, 40, 40), (128, 63, 8, 8), (160, 63, 8, 8)
    assert picked_object(view(bowl, inside, beside), bins) == 1
    assert picked_object(view(bowl, beside), bins) == 0
    assert picked_object(view(inside, inside), bins) == 0
    assert picked_object(view(beside), bins) is None
    assert picked_object(ViewObjects.empty(), bins) is None


@pytest.mark.parametrize("column", [1, -1])
def test_a_box_ends_with_the_edge_of_its_outermost_pixels(column):
    x, y = bin_pixels()[25, 50]  # (128, 63)
    box = (int(x) + column * 5, int(y), 4, 10)  # 5 px to each side
    assert picked_object(view(box), (25, 50)) == 0
    further = (int(x) + column * 6, int(y), 4, 10)
    assert picked_object(view(further), (25, 50)) is None
