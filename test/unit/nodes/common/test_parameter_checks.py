"""Sentences about parameters that no node declares."""

from types import SimpleNamespace

import pytest

from vima_ros.errors import VimaError
from vima_ros.nodes.common.parameter_checks import check_overrides
from vima_ros.nodes.common.parameter_files import Override
from vima_ros.nodes.perception.parameters import PerceptionParameters

NODE = SimpleNamespace(
    name="perception",
    parameters=PerceptionParameters,
    get_name=lambda: "perception",
    get_fully_qualified_name=lambda: "/vima/perception",
    has_parameter=lambda name: False,
)


@pytest.mark.parametrize(
    ("name", "section", "hint"),
    [
        ("min_skore", "/vima/perception", "; nearest: min_score"),
        ("zzz", "/vima/perception", "; valid: those in config/perception.yaml"),
        ("zzz", "/**", "; valid: those in the files of config/"),
    ],
)
def test_the_nearest_name_is_suggested_only_where_it_is_near(name, section, hint):
    NODE.parameter_overrides = [Override(name, section, "-p", "-p")]
    with pytest.raises(VimaError) as error:
        check_overrides(NODE)
    assert str(error.value).endswith(hint)
