"""How well a tracker keeps the identities of objects whose true ids are known."""

from collections import Counter

import numpy as np

from vima_ros.perception.crops import extract_objects
from vima_ros.perception.detectors.instances import Instances
from vima_ros.perception.tracking.tracker import Tracker
from vima_ros.specs import VIEWS

MOVED = 2  # [px] of the box's middle, between two timesteps


def _disguised(mask, rng):
    """``mask`` with other ids and, by them, the true ones."""
    true = np.unique(mask[mask > 0])
    ids = rng.permutation(np.arange(1, 200))[: len(true)]
    table = np.zeros(256, np.uint16)
    table[true] = ids
    return table[mask], dict(zip(ids.tolist(), true.tolist(), strict=True))


def identities(rgb, masks, rng):
    """Counts over n timesteps, ``rgb`` (n, 2, 128, 256, 3) and ``masks`` (n, 2, 128, 256) uint8.

    The ids of each image are shuffled. Counted are objects seen again in a view, ``still`` or
    ``moved``, and ``pairs`` seen in both views, and how many of them were ``..._right``: have the
    track id of the time before, and of the other view.
    """
    tracker, counts, before = Tracker(), Counter(), {}
    for k, (pair, truth) in enumerate(zip(rgb, masks, strict=True)):
        images, disguised, objects, true, now = {}, {}, {}, {}, {}
        for view, image, mask in zip(VIEWS, pair, truth, strict=True):
            images[view] = np.ascontiguousarray(image)
            disguised[view], true[view] = _disguised(mask, rng)
            ids = rng.permutation(list(true[view]))
            found = Instances(disguised[view], ids, np.full(len(ids), 0.9))
            objects[view] = extract_objects(images[view], found)
        seen = tracker.update(objects, k, images, disguised)
        for view in VIEWS:
            of = {track: true[view][d] for d, track in tracker.track_ids[view].items()}
            for track, box in zip(seen[view].track_ids.tolist(), seen[view].boxes, strict=True):
                now[view, of[track]] = track, box[:2]
        for key, (track, place) in now.items():
            if key in before:
                moved = np.abs(place - before[key][1]).max() > MOVED
                kind = "moved" if moved else "still"
                counts[kind] += 1
                counts[f"{kind}_right"] += track == before[key][0]
        for view, number in now:
            if view == "front" and ("top", number) in now:
                counts["pairs"] += 1
                counts["pairs_right"] += now["front", number][0] == now["top", number][0]
        before |= now
    return counts
