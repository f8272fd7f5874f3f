"""Configurations of the four conditionings have equal sizes, as counted from their tensors."""

from dataclasses import replace

import pytest

from vima_ros.errors import VimaError
from vima_ros.policy.checkpoints.load import SMALL, random_network
from vima_ros.policy.config import CONDITIONINGS, PUBLISHED, VimaConfig
from vima_ros.policy.sizes import match_parameters, parameter_count

KINDS = pytest.mark.parametrize("conditioning", CONDITIONINGS)


@KINDS
def test_every_tensor_is_counted_once(conditioning):
    network = random_network({"conditioning": conditioning, "vocabulary": 60})
    counts = parameter_count(network.config)
    assert counts["total"] == sum(p.numel() for p in network.parameters())
    assert counts["total"] == sum(n for part, n in counts.items() if part != "total")
    assert counts["controller"] == sum(p.numel() for p in network.controller.parameters())


def test_the_published_sizes_have_the_parameters_that_the_document_says():
    assert parameter_count(PUBLISHED["2M"])["total"] == 151_883_584


@pytest.mark.slow
@KINDS
@pytest.mark.parametrize("parameters", [700_000, 1_500_000])
def test_a_matched_network_has_as_many_parameters(conditioning, parameters):
    base = VimaConfig(**SMALL | {"conditioning": conditioning, "vocabulary": 60, "vit_patch": 32})
    matched = match_parameters(base, parameters)
    assert abs(parameter_count(matched)["total"] - parameters) <= 0.05 * parameters
    same = {"vit_width": base.vit_width, "xf_n_layers": base.xf_n_layers}
    assert replace(matched, **same) == base


def test_a_size_that_no_number_of_layers_has():
    with pytest.raises(VimaError, match="nearest to 100;") as error:
        match_parameters(VimaConfig(**SMALL), 100)
    assert error.value.code == "BAD_CONFIG"
