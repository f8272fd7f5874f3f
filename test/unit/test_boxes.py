import numpy as np

from vima_ros.boxes import box_edges, center_distances, iou


def test_box_edges_are_the_outer_edges_of_the_pixels():
    boxes = np.array([[100, 60, 11, 20], [3, 5, 0, 0]])
    assert box_edges(boxes).tolist() == [[90, 55, 111, 67], [3, 5, 4, 6]]
    assert box_edges(np.zeros((0, 4), np.int64)).shape == (0, 4)


def test_iou_is_the_shared_area_and_center_distances_are_euclidean():
    a = np.array([[0.0, 0, 10, 10]])
    b = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [30, 40, 40, 50]])
    np.testing.assert_allclose(iou(a, b), [[1, 1 / 3, 0, 0]])
    np.testing.assert_allclose(center_distances(a, b), [[0, 5, 10, 50]])
