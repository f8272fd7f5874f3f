"""Boxes on a table, seen in both policy frames as VIMA-Bench's cameras see them."""

from dataclasses import dataclass, replace

import numpy as np

from vima_ros.perception.crops import extract_objects
from vima_ros.perception.detectors.instances import Instances
from vima_ros.perception.tracking.tracker import Tracker
from vima_ros.policy_frame import project_to_view
from vima_ros.specs import VIEWS

RED, GREEN, BLUE, YELLOW = (220, 40, 40), (40, 200, 60), (40, 80, 220), (230, 210, 40)
TABLE = (48, 48, 48)
FRAME_TIME = 33_333_333  # [ns]


@dataclass(frozen=True)
class Block:
    """A box with a middle at x, y and its underside at z [m]; the front view shows it darker."""

    x: float
    y: float
    colour: tuple[int, int, int] = RED
    side: float = 0.06
    height: float = 0.03
    z: float = 0.0

    def at(self, x, y):
        return replace(self, x=x, y=y)


@dataclass(frozen=True)
class Moment:
    """What ``Tracker.update`` takes, by view; objects[view].track_ids[i] is a detector's id."""

    objects: dict
    images: dict
    masks: dict


def look(blocks, hidden=(), order=None):
    """``blocks`` as they are seen, later ones over earlier ones; block i has the id i + 1.

    ``hidden``: pairs (view, i) not seen. ``order``: by view, the ids in the order in which the
    detector lists them.
    """
    objects, images, masks = {}, {}, {}
    for view in VIEWS:
        image = np.full((128, 256, 3), TABLE, np.uint8)
        mask = np.zeros((128, 256), np.uint16)
        for i, block in enumerate(blocks):
            if (view, i) in hidden:
                continue
            half = block.side / 2
            corners = [
                (block.x + dx, block.y + dy, block.z + dz)
                for dx in (-half, half)
                for dy in (-half, half)
                for dz in (0.0, block.height)
            ]
            seen = np.round(project_to_view(view, corners)).astype(int)
            (top, left), (bottom, right) = seen.min(0).clip(0), seen.max(0)
            mask[top : bottom + 1, left : right + 1] = i + 1
            shade = 1.0 if view == "top" else 0.8
            image[top : bottom + 1, left : right + 1] = np.array(block.colour) * shade
        ids = np.arange(1, len(blocks) + 1) if order is None else np.array(order[view])
        images[view], masks[view] = image, mask
        found = Instances(mask, ids, np.full(len(ids), 0.9))
        objects[view] = extract_objects(image, found, with_outlines=True)
    return Moment(objects, images, masks)


def follow(moments, tracker=None):
    """By moment and view, {detector's id: track id}."""
    tracker, followed = tracker or Tracker(), []
    for k, moment in enumerate(moments):
        tracker.update(moment.objects, k * FRAME_TIME, moment.images, moment.masks)
        followed.append(dict(tracker.track_ids))
    return followed
