"""Reader of episodes recorded with VIMA-Bench: NAME.npz with NAME.json beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Workspace
from vima_ros.sim.recording import (
    RecordedEpisode,
    RecordedImages,
    RecordedPromptAsset,
    action_vector,
)
from vima_ros.specs import VIEWS, Action, AssetKind, EndEffector
from vima_ros.training.data.shards import DAMAGED
from vima_ros.weight_files import why_not_loaded


def read_bench_episode(path: Path) -> RecordedEpisode:
    """Read the recording in ``path``, an .npz; its bins are the nearest to its actions.

    ``level`` is the recorded partition. Raises VimaError (BAD_DEMONSTRATIONS) for anything else.
    """
    source = path.with_suffix(".json")
    try:
        facts = json.loads(source.read_text())
        source = path
        with np.load(path, allow_pickle=False) as file:
            return _recording(facts, dict(file))
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, *DAMAGED) as error:
        raise VimaError(
            "BAD_DEMONSTRATIONS",
            f"{source}: {why_not_loaded(source, error)}; valid: a recorded VIMA-Bench episode",
        ) from error


def _recording(facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> RecordedEpisode:
    infos = {int(key): info for key, info in facts["obj_id_to_info"].items()}
    ids = list(infos)
    placeholders = {item["name"]: item for item in facts["placeholders"]}
    names = dict.fromkeys(facts["placeholder_order"])
    place = [arrays["state_obj_ids"].tolist().index(i) for i in ids]
    steps = zip(
        *(arrays[f"action_{pose}_{part}"] for pose, part in _ACTION_PARTS),
        strict=True,
    )
    poses = [(_pose(*step[:2]), _pose(*step[2:])) for step in steps]
    bounds = (arrays["action_bounds_low"].tolist(), arrays["action_bounds_high"].tolist())
    workspace = Workspace(*(tuple(bound) for bound in bounds))
    return RecordedEpisode(
        facts["task"],
        facts["partition"],
        facts["seed"],
        facts["prompt"],
        tuple(_asset(placeholders[name], arrays, list(infos.values())) for name in names),
        EndEffector[facts["end_effector_type"].upper()],
        facts["oracle_max_steps"],
        tuple(f"{info['texture_name']} {info['obj_name']} {i}" for i, info in infos.items()),
        _images(arrays, "obs_{}_{}", ids),
        np.array([Action.from_poses(*pair, workspace).bins for pair in poses], np.uint8),
        np.array([action_vector(*pair) for pair in poses], np.float32),
        arrays["state_obj_pose"][:, place],
        workspace,
    )


_ACTION_PARTS = [(pose, part) for pose in ("pose0", "pose1") for part in ("position", "rotation")]


def _pose(position_xy: np.ndarray, quaternion: np.ndarray) -> Pose:
    return Pose(np.append(position_xy, 0.0), quaternion)


def _asset(
    placeholder: dict[str, Any], arrays: dict[str, np.ndarray], objects: list[dict[str, Any]]
) -> RecordedPromptAsset:
    name, ids = placeholder["name"], [info["obj_id"] for info in placeholder["obj_info"]]
    shows = tuple(_same(info, objects) for info in placeholder["obj_info"])
    alone = {
        key: array[None] for key, array in arrays.items() if key.startswith(f"prompt__{name}__")
    }
    images = _images(alone, f"prompt__{name}__{{}}_{{}}", ids)
    kind = AssetKind(placeholder["placeholder_type"])
    return RecordedPromptAsset(name, kind, len(ids), images, shows)


def _same(shown: dict[str, Any], objects: list[dict[str, Any]]) -> int:
    """Return the index of the only object that looks like ``shown``, or -1.

    In gray it is any of its shape: so VIMA-Bench shows the meaning of a new noun.
    """
    alike = [
        place
        for place, info in enumerate(objects)
        if info["obj_name"] == shown["obj_name"]
        and shown["obj_color"] in (info["texture_name"], "gray")
    ]
    return alike[0] if len(alike) == 1 else -1


def _images(arrays: dict[str, np.ndarray], key: str, ids: Sequence[int]) -> RecordedImages:
    """Renumber the objects from 1 in the order of ``ids``, all else 0."""
    number = np.zeros(256, np.uint8)
    number[list(ids)] = np.arange(1, len(ids) + 1)
    rgb = np.stack([arrays[key.format("rgb", view)] for view in VIEWS], axis=1)
    segm = np.stack([arrays[key.format("segm", view)] for view in VIEWS], axis=1)
    return RecordedImages(np.ascontiguousarray(rgb.transpose(0, 1, 3, 4, 2)), number[segm])
