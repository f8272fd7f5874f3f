"""Compare VIMA-Bench's images with ours: ``compare_with_vima_bench.py EPISODE.npz … --out FILE``.

Reads recorded episodes (arrays in an npz, the rest in a json of the same name) and renders the
first scene of each in our simulator.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vima_ros.errors import VimaError
from vima_ros.files import write_image
from vima_ros.geometry import yaw_from_quaternion
from vima_ros.paths import path_argument
from vima_ros.sim.rendering.prompt_renderer import render_prompt_images
from vima_ros.sim.scene import Scene, SceneObject
from vima_ros.specs import VIEWS, AssetKind, EndEffector

# Centres (x, y) of shapes whose frame in VIMA-Bench is not at the centre [m].
_CENTRES = {"bowl": (-0.0335, 0.0145), "frame": (0.0099, 0.0)}
_OTHER_NAMES = {"l_shaped_block": "l_block", "gray": "grey"}
_WITHOUT_TOUCHING = {
    "line": "short_line",
    "three_sided_rectangle": "wide_three_sided_rectangle",
}
MEASURES = ("height [px]", "width [px]", "area [px]")


def our_name(name: str) -> str:
    """Return our name of a shape or texture of VIMA-Bench."""
    name = name.lower().replace(" ", "_").replace("-", "_")
    return _OTHER_NAMES.get(name, name)


def read_scene(episode: Path) -> tuple[Scene, dict[int, int]]:
    """Return the first scene of an episode, and our mask id of each of its segmentation ids."""
    info = json.loads(episode.with_suffix(".json").read_text())
    with np.load(episode) as arrays:
        ids, poses = arrays["state_obj_ids"].tolist(), arrays["state_obj_pose"][0]
    objects, our_id = [], {}
    for id_, pose in zip(ids, poses, strict=True):
        objects.append(_object(info["task"], id_, pose, info["obj_id_to_info"][str(id_)]))
        our_id[id_] = len(objects)
    spatula = info["end_effector_type"] == "spatula"
    return Scene(tuple(objects), EndEffector(int(spatula))), our_id


def _object(task: str, id_: int, pose: np.ndarray, info: dict[str, Any]) -> SceneObject:
    shape = our_name(info["obj_name"])
    if task == "sweep_without_touching":
        shape = _WITHOUT_TOUCHING.get(shape, shape)
    yaw = yaw_from_quaternion(pose[3:])
    dx, dy = _CENTRES.get(shape, (0.0, 0.0))
    x = pose[0] + math.cos(yaw) * dx - math.sin(yaw) * dy
    y = pose[1] + math.sin(yaw) * dx + math.cos(yaw) * dy
    factor = 1.0
    if "kitting" in info["obj_asset"] or shape == "block":  # whose frame is at the centre
        bounds = info["obj_size_range"]
        height = float(pose[2]) / ((bounds["low"][2] + bounds["high"][2]) / 4)
        factor = round(height, 2) if abs(height - 1.0) > 0.15 else 1.0
    name = f"{shape}_{id_}"
    return SceneObject(name, shape, our_name(info["texture_name"]), (x, y), yaw, 1.0, factor)


def draw(episode: Path) -> np.ndarray:
    """Draw VIMA-Bench's and our first images, front, then top; (128, 1024, 3) uint8 RGB."""
    images = render_prompt_images(read_scene(episode)[0], AssetKind.SCENE)
    with np.load(episode) as arrays:
        theirs = {v: arrays[f"obs_rgb_{v}"][0].transpose(1, 2, 0) for v in VIEWS}
    return np.hstack([image for v in VIEWS for image in (theirs[v], images[v].rgb)])


def compare_sizes(
    episodes: Iterable[Path],
) -> dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]]:
    """Return by (shape, view) pairs of their and our MEASURES of wholly visible objects."""
    found = defaultdict(list)
    for episode in episodes:
        scene, our_id = read_scene(episode)
        images = render_prompt_images(scene, AssetKind.SCENE)
        with np.load(episode) as arrays:
            for view in VIEWS:
                mask = arrays[f"obs_segm_{view}"][0]
                for id_, ours in our_id.items():
                    sizes = _measure(mask == id_), _measure(images[view].mask == ours)
                    item = scene.objects[ours - 1]
                    if all(size is not None for size in sizes) and item.height_factor == 1.0:
                        found[item.shape, view].append(sizes)
    return dict(found)


def _measure(mask: np.ndarray) -> np.ndarray | None:
    """Return height, width and area [px], or None for an object at the image's border."""
    rows, columns = np.nonzero(mask)
    if not len(rows) or (mask[[0, -1]].any() or mask[:, [0, -1]].any()):
        return None
    return np.array([np.ptp(rows) + 1, np.ptp(columns) + 1, mask.sum()], float)


def main(args: list[str] | None = None) -> None:
    """Write the image and print the sizes."""
    parser = argparse.ArgumentParser(
        prog="compare_with_vima_bench", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "episodes", type=path_argument, nargs="+", help="Files of recorded episodes, npz"
    )
    parser.add_argument("--out", type=path_argument, help="Output image, png")
    options = parser.parse_args(args)
    if options.out:
        rows = [_titled(draw(episode), episode.parent.name) for episode in options.episodes]
        try:
            write_image(options.out, np.vstack(rows))
        except VimaError as error:
            parser.exit(2, f"compare_with_vima_bench: {error.code}: {error}\n")
    print(f"{'shape':28}view  count  theirs: {', '.join(MEASURES)}; ours / theirs")
    for (shape, view), pairs in sorted(compare_sizes(options.episodes).items()):
        theirs, ours = (np.median([pair[k] for pair in pairs], axis=0) for k in (0, 1))
        print(f"{shape:28}{view:6}{len(pairs):5}  {theirs}  {(ours / theirs).round(3)}")


def _titled(row: np.ndarray, title: str) -> np.ndarray:
    line = np.full((20, row.shape[1], 3), 255, np.uint8)
    text = f"{title}: VIMA-Bench's front, ours, VIMA-Bench's top, ours"
    cv2.putText(line, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([line, row])


if __name__ == "__main__":
    main()
