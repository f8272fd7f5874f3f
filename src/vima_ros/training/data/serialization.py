"""Conversion of recordings and demonstrations to arrays for shards (docs/demonstrations.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vima_ros.geometry import Workspace
from vima_ros.policy_frame import VIMA_WORKSPACE
from vima_ros.sim.recording import RecordedEpisode, RecordedImages, RecordedPromptAsset
from vima_ros.specs import VIEWS, AssetKind, EndEffector, PromptImage, ViewObjects
from vima_ros.training.data.demonstration import Demonstration, actions, observation

Arrays = dict[str, np.ndarray]
Views = tuple[ViewObjects, ViewObjects]


def pack_recording(recording: RecordedEpisode) -> tuple[dict[str, Any], Arrays]:
    """Pack a recording: images as arrays, the rest as JSON; masks only where there are any."""
    facts = _facts(recording, recording.prompt, recording.assets)
    facts["end_effector"] = recording.end_effector.name.lower()
    for fact, asset in zip(facts["assets"], recording.assets, strict=True):
        fact["count"] = asset.count
    arrays = _small(recording.bins, recording.actions, recording.object_poses)
    arrays["rgb"] = recording.images.rgb
    arrays["prompt_rgb"] = np.concatenate([a.images.rgb for a in recording.assets])
    if recording.images.masks is not None:
        arrays["masks"] = recording.images.masks
        masks = [a.images.masks for a in recording.assets if a.images.masks is not None]
        arrays["prompt_masks"] = np.concatenate(masks)
    return facts, arrays


def unpack_recording(
    facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> RecordedEpisode:
    """Unpack what was packed. Raises KeyError where something is missing."""
    masks, prompt_masks = arrays.get("masks"), arrays.get("prompt_masks")
    assets = []
    for i, fact in enumerate(facts["assets"]):
        ids = None if prompt_masks is None else prompt_masks[i : i + 1]
        images = RecordedImages(arrays["prompt_rgb"][i : i + 1], ids)
        assets.append(
            RecordedPromptAsset(fact["name"], AssetKind(fact["kind"]), fact["count"], images)
        )
    return RecordedEpisode(
        facts["task"],
        facts["level"],
        facts["seed"],
        facts["prompt"],
        tuple(assets),
        EndEffector[facts["end_effector"].upper()],
        facts["step_limit"],
        tuple(facts["objects"]),
        RecordedImages(arrays["rgb"], masks),
        arrays["bins"],
        arrays["actions"],
        _poses(arrays),
        _workspace(facts),
    )


def pack_demonstration(demonstration: Demonstration) -> tuple[dict[str, Any], Arrays]:
    """Pack a demonstration: boxes, crops and ids of all views in a row, and counts per view."""
    images = list(demonstration.images.values())
    facts = _facts(demonstration, demonstration.text, images)
    facts["end_effector"] = demonstration.observations[0].end_effector.name.lower()
    bins = np.array([action.bins for action in demonstration.actions], np.uint8)
    arrays = _small(bins, demonstration.unrounded, demonstration.object_poses)
    arrays |= _pack_views("", [(o.front, o.top) for o in demonstration.observations])
    arrays |= _pack_views("prompt_", [(image.front, image.top) for image in images])
    return facts, arrays


def unpack_demonstration(
    facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> Demonstration:
    """Unpack what was packed. Raises KeyError where something is missing."""
    effector, objects = EndEffector[facts["end_effector"].upper()], tuple(facts["objects"])
    images = {
        fact["name"]: PromptImage(fact["name"], AssetKind(fact["kind"]), *views)
        for fact, views in zip(facts["assets"], _unpack_views("prompt_", arrays), strict=True)
    }
    observations = tuple(observation(v, effector, len(objects)) for v in _unpack_views("", arrays))
    return Demonstration(
        facts["task"],
        facts["level"],
        facts["seed"],
        facts["prompt"],
        images,
        observations,
        actions(arrays["bins"], effector),
        facts["step_limit"],
        objects,
        arrays["actions"],
        _poses(arrays),
        _workspace(facts),
    )


def _facts(
    episode: RecordedEpisode | Demonstration,
    prompt: str,
    assets: Sequence[RecordedPromptAsset] | Sequence[PromptImage],
) -> dict[str, Any]:
    return {
        "task": episode.task,
        "level": episode.level,
        "seed": episode.seed,
        "prompt": prompt,
        "step_limit": episode.step_limit,
        "objects": list(episode.objects),
        "workspace": [episode.workspace.low, episode.workspace.high],
        "assets": [{"name": a.name, "kind": a.kind.name.lower()} for a in assets],
    }


def _small(bins: np.ndarray, unrounded: np.ndarray, object_poses: np.ndarray) -> Arrays:
    """Pack poses by timestep, so that only the first axis differs between episodes."""
    return {"bins": bins, "actions": unrounded, "object_poses": object_poses.reshape(-1, 7)}


def _workspace(facts: Mapping[str, Any]) -> Workspace:
    return Workspace(*facts["workspace"]) if "workspace" in facts else VIMA_WORKSPACE


def _poses(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    return arrays["object_poses"].reshape(len(arrays["bins"]) + 1, -1, 7)


def _pack_views(prefix: str, timesteps: Sequence[Views]) -> Arrays:
    views = [view for timestep in timesteps for view in timestep]
    return {
        f"{prefix}counts": np.array(
            [[len(v) for v in timestep] for timestep in timesteps], np.uint8
        ),
        f"{prefix}boxes": np.concatenate([view.boxes for view in views]).astype(np.int16),
        f"{prefix}crops": np.concatenate([view.crops for view in views]),
        f"{prefix}ids": np.concatenate([view.track_ids for view in views]).astype(np.uint8),
    }


def _unpack_views(prefix: str, arrays: Mapping[str, np.ndarray]) -> Iterator[Views]:
    counts: np.ndarray = arrays[f"{prefix}counts"].astype(np.int64)
    ends: np.ndarray = np.cumsum(counts).reshape(-1, len(VIEWS))
    for timestep, timestep_ends in zip(counts, ends, strict=True):
        front, top = (
            ViewObjects(
                arrays[f"{prefix}boxes"][end - count : end],
                arrays[f"{prefix}crops"][end - count : end],
                np.ones(count, np.float32),
                arrays[f"{prefix}ids"][end - count : end],
            )
            for count, end in zip(timestep, timestep_ends, strict=True)
        )
        yield front, top
