"""The `cfg` entry of a Detectron2 checkpoint: as plain values, then over Detectron2's defaults."""

from __future__ import annotations

from typing import Any

import yaml

# The classes that a saved cfg is made of: nested dicts, which read_checkpoint makes of them.
HOLDERS = (
    "detectron2.config.config.CfgNode",
    "fvcore.common.config.CfgNode",
    "yacs.config.CfgNode",
)
MAX_ENTRIES = 10_000  # Detectron2's own configuration has about 400
MAX_DEPTH = 20
MAX_SIZE = 2000  # [px] to which a picture may be scaled


def plain_config(entry: Any) -> dict[str, Any]:
    """``entry``, nested dicts or the YAML text of such, as new dicts, lists and plain values.

    Raises ValueError saying what else is in it.
    """
    if isinstance(entry, str):
        try:
            entry = yaml.safe_load(entry)
        except (yaml.YAMLError, RecursionError) as error:
            raise ValueError("its cfg is a text but no YAML") from error
    if not isinstance(entry, dict):
        raise ValueError(f"its cfg is {type(entry).__name__}, not a dict or the YAML text of one")
    copy: dict[str, Any] = _plain(entry, [MAX_ENTRIES], 0)
    return copy


def _plain(value: Any, left: list[int], depth: int) -> Any:
    left[0] -= 1
    if left[0] < 0 or depth > MAX_DEPTH:
        raise ValueError(f"its cfg has over {MAX_ENTRIES} entries or {MAX_DEPTH} levels")
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("its cfg has keys that are no texts")
        return {key: _plain(item, left, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(item, left, depth + 1) for item in value)
    if value is None or type(value) in (str, int, float, bool):
        return value
    raise ValueError(f"its cfg holds a {type(value).__name__}")


def complete_config(own: dict[str, Any], device: str, lowest_score: float) -> Any:
    """Detectron2's ``get_cfg()`` updated by ``own``, to be given to its DefaultPredictor.

    What it says of weights and data sets is left out, as they would be loaded, from anywhere. The
    network is GeneralizedRCNN, whatever its author called it. Raises ValueError.
    """
    from detectron2.config import get_cfg

    cfg = get_cfg()
    _update(cfg, own)
    cfg.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
    cfg.MODEL.WEIGHTS, cfg.DATASETS.TEST, cfg.MODEL.DEVICE = "", (), device
    heads = cfg.MODEL.ROI_HEADS
    heads.SCORE_THRESH_TEST = max(float(heads.SCORE_THRESH_TEST), lowest_score)
    if not cfg.MODEL.MASK_ON:
        raise ValueError("its cfg has MODEL.MASK_ON False, but boxes alone make no objects")
    if cfg.INPUT.FORMAT not in ("BGR", "RGB"):
        raise ValueError(f"its cfg has INPUT.FORMAT {cfg.INPUT.FORMAT!r}, not 'BGR' or 'RGB'")
    for name in ("MIN_SIZE_TEST", "MAX_SIZE_TEST"):
        size = cfg.INPUT[name]
        if type(size) is not int or not 0 <= size <= MAX_SIZE:
            raise ValueError(f"its cfg has INPUT.{name} {size!r}, not 0 to {MAX_SIZE} px")
    return cfg


def _update(node: Any, values: dict[str, Any]) -> None:
    """Set ``values``, level by level; those unknown to this Detectron2 are kept as well."""
    for key, value in values.items():
        known = node.get(key)
        if isinstance(value, dict) and isinstance(known, dict):
            _update(known, value)
        elif isinstance(known, dict):
            raise ValueError(f"its cfg has {key} as {type(value).__name__}, not as a section")
        else:
            node[key] = type(node)(value) if isinstance(value, dict) else value
