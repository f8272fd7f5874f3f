"""Reading of a checkpoint's cfg, for which Detectron2 is not needed."""

from collections import OrderedDict

import pytest
import yaml

from vima_ros.perception.detectors.detectron2_mask_rcnn import plain_config

CFG = {"MODEL": {"DEVICE": "cuda", "STEPS": (1, 2), "LR": 0.1, "ON": True, "X": None}, "N": [[1]]}


def nested(depth):
    return {"a": nested(depth - 1)} if depth else {}


def test_nested_dicts_come_as_they_are():
    ordered = OrderedDict(CFG, MODEL=OrderedDict(CFG["MODEL"]))
    copy = plain_config(ordered)
    assert copy == CFG
    assert type(copy) is type(copy["MODEL"]) is dict
    copy["MODEL"]["DEVICE"] = "cpu"
    assert ordered["MODEL"]["DEVICE"] == "cuda"


def test_yaml_text_is_read():
    simple = {"MODEL": {"DEVICE": "cuda", "STEPS": [1, 2]}}
    assert plain_config(yaml.safe_dump(simple)) == simple


def test_yaml_that_would_run_code_is_refused():
    with pytest.raises(ValueError, match="no YAML"):
        plain_config("MODEL: !!python/object/apply:os.getcwd []")


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (None, "NoneType"),
        ([1], "list"),
        ("just a text", "str"),
        ("{", "no YAML"),
        ({"a": {1: 2}}, "no texts"),
        ({"a": {"b": {3}}}, "holds a set"),
        ({"a": [object()]}, "holds a object"),
        ({str(i): 0 for i in range(20_000)}, "10000 entries"),
        (nested(30), "20 levels"),
    ],
)
def test_anything_else_is_refused(entry, says):
    with pytest.raises(ValueError, match=says):
        plain_config(entry)


def test_a_cfg_within_itself_is_refused():
    entry = {}
    entry["again"] = entry
    with pytest.raises(ValueError, match="levels"):
        plain_config(entry)
