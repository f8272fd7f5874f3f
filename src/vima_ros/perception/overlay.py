"""Pictures for people: what was found, and what the arm is about to do."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vima_ros.errors import VimaError
from vima_ros.perception.instances import check_image
from vima_ros.specs import ViewObjects

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE = 0.45
_PICK, _PLACE = (80, 255, 80), (255, 200, 0)  # RGB


def object_colour(track_id: int) -> tuple[int, int, int]:
    """A bright RGB colour that stays with a track id; neighbouring ids differ much."""
    hue = int(track_id * 180 * 0.618) % 180  # golden ratio; OpenCV's hue is in half degrees
    pixel = cv2.cvtColor(np.array([[[hue, 160, 255]]], np.uint8), cv2.COLOR_HSV2RGB)
    red, green, blue = pixel[0, 0].tolist()
    return red, green, blue


def draw_objects(image_rgb: np.ndarray, objects: ViewObjects, scale: int = 3) -> np.ndarray:
    """``image_rgb`` uint8 (128, 256, 3) enlarged ``scale`` times, with boxes, ids and scores.

    Returns uint8 RGB (128 scale, 256 scale, 3). Raises VimaError (INVALID_VALUE) for another
    image or a scale below 1.
    """
    check_image(image_rgb)
    _check_scale(scale)
    canvas = np.repeat(np.repeat(image_rgb, scale, 0), scale, 1)
    labels = zip(objects.boxes.tolist(), objects.track_ids, objects.scores, strict=True)
    for (x, y, height, width), track_id, score in labels:
        colour = object_colour(int(track_id))
        left, top = (x - width // 2) * scale, (y - height // 2) * scale
        right, bottom = left + (width + 1) * scale - 1, top + (height + 1) * scale - 1
        cv2.rectangle(canvas, (left, top), (right, bottom), colour, 1)
        _label(canvas, f"{track_id} {score:.2f}", (left, top - 5), colour)
    return canvas


def draw_action(
    canvas: np.ndarray,
    pick: Sequence[float],
    place: Sequence[float],
    scale: int = 3,
    labels: tuple[str, str] = ("pick", "place"),
) -> np.ndarray:
    """A copy of ``canvas`` uint8 RGB (h, w, 3) with an arrow from ``pick`` to ``place``.

    The points are x, y [px] in the picture before it was enlarged ``scale`` times; what lies
    outside is cut off. Raises VimaError (INVALID_VALUE) for points that are not finite.
    """
    _check_scale(scale)
    points = np.array([_point(pick), _point(place)])
    reach = 4 * max(canvas.shape)  # keeps far points within OpenCV's integers
    start, end = np.clip(np.round((points + 0.5) * scale), -reach, reach).astype(int).tolist()
    drawn = np.ascontiguousarray(canvas).copy()
    cv2.arrowedLine(drawn, start, end, (0, 0, 0), 5, cv2.LINE_AA, tipLength=0.1)
    cv2.arrowedLine(drawn, start, end, (255, 255, 255), 2, cv2.LINE_AA, tipLength=0.1)
    for point, colour, label in ((start, _PICK, labels[0]), (end, _PLACE, labels[1])):
        cv2.circle(drawn, point, 2 * scale, (0, 0, 0), 4, cv2.LINE_AA)
        cv2.circle(drawn, point, 2 * scale, colour, 2, cv2.LINE_AA)
        _label(drawn, label, (point[0] + 2 * scale + 3, point[1] - 2 * scale), colour)
    return drawn


def _point(point: Sequence[float]) -> np.ndarray:
    try:
        values = np.asarray(point, np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape != (2,) or not np.isfinite(values).all():
        raise VimaError("INVALID_VALUE", f"point {point!r}; valid: finite x, y [px]")
    return values


def _check_scale(scale: int) -> None:
    if scale < 1:
        raise VimaError("INVALID_VALUE", f"scale is {scale}; valid: 1 or more")


def _label(
    canvas: np.ndarray, text: str, corner: Sequence[int], colour: tuple[int, int, int]
) -> None:
    """``text`` with its lower left at ``corner``, moved to stay inside ``canvas``."""
    (width, height), _ = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)
    x = max(0, min(corner[0], canvas.shape[1] - width - 1))
    y = max(height + 1, min(corner[1], canvas.shape[0] - 3))
    cv2.rectangle(canvas, (x - 1, y - height - 1), (x + width, y + 2), (0, 0, 0), cv2.FILLED)
    cv2.putText(canvas, text, (x, y), _FONT, _FONT_SCALE, colour, 1, cv2.LINE_AA)
