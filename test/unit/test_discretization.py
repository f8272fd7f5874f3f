"""Actions as poses, fractions and bins: one arithmetic for simulator, policy and training."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vima_ros.discretization import (
    bin_edges,
    fractions_to_bins,
    fractions_to_poses,
    poses_to_fractions,
)
from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.specs import BINS, Action

WORKSPACES = (Workspace(), Workspace((-1.0, 0.1), (0.5, 0.3)))


@pytest.mark.parametrize("count", [50, 100])
def test_a_bin_ends_at_its_edge(count):
    edges = bin_edges(count)
    above = np.nextafter(edges[:-1], np.float32(1.0))
    assert (fractions_to_bins(edges[:, None], [count])[:, 0] == np.arange(count)).all()
    assert (fractions_to_bins(above[:, None], [count])[:, 0] == np.arange(1, count)).all()
    with pytest.raises(ValueError, match="read-only"):
        edges[0] = 1.0


@given(seed=st.integers(0, 2**32 - 1))
def test_many_fractions_get_the_bins_of_each_alone(seed):
    fractions = np.random.default_rng(seed).random((3, 2, 12))
    bins = fractions_to_bins(fractions, BINS)
    assert bins.shape == fractions.shape
    for got, one in zip(bins.reshape(-1, 12), fractions.reshape(-1, 12), strict=True):
        assert (got == Action.from_fractions(one).bins).all()


@pytest.mark.parametrize("workspace", WORKSPACES)
@given(seed=st.integers(0, 2**32 - 1))
def test_poses_come_back_from_their_bins(workspace, seed):
    fractions = np.random.default_rng(seed).integers(0, 2**20, 12) / 2**20
    poses = fractions_to_poses(fractions, workspace)
    for pose in poses:
        assert workspace.contains(*pose.position[:2], tolerance=0.0)
        assert pose.position[2] == 0.0
    assert poses_to_fractions(*poses, workspace) == pytest.approx(fractions, abs=1e-12)
    action = Action.from_poses(*poses, workspace)
    assert (action.bins == fractions_to_bins(fractions, BINS)).all()


@pytest.mark.parametrize("fractions", [[0.5] * 11, [0.5] * 11 + [1.1], [float("nan")] * 12])
def test_what_is_no_action_has_no_poses(fractions):
    with pytest.raises(VimaError, match="valid: 12 numbers from 0 to 1") as error:
        fractions_to_poses(fractions, Workspace())
    assert error.value.code == "INVALID_VALUE"
