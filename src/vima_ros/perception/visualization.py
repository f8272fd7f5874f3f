"""Debug images: detected objects and the next action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from vima_ros.decision_attention import DecisionAttention
from vima_ros.errors import VimaError
from vima_ros.perception.detectors.instances import FRAME_SHAPE, check_image
from vima_ros.specs import VIEWS, ViewObjects

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE = 0.45
_MARGIN = 2  # around a text [px]
_TITLE_HEIGHT = 20  # [px]
_TINT = 0.35  # how much of a mask's colour covers the object
_PICK, _PLACE = (80, 255, 80), (255, 200, 0)  # RGB
_WHITE, _GREY = (255, 255, 255), (190, 190, 190)
_STRIP, _STRIP_LINE, _STRIP_GAP = 30, 58, 14  # grey level; height of a line, between words [px]

_Rectangle = tuple[int, int, int, int]  # left, top, right, bottom [px], all inside


def object_color(track_id: int) -> tuple[int, int, int]:
    """Return a bright RGB colour for a track id; neighbouring ids differ much."""
    hue = int(track_id * 180 * 0.618) % 180  # golden ratio; OpenCV's hue is in half degrees
    pixel = cv2.cvtColor(np.array([[[hue, 160, 255]]], np.uint8), cv2.COLOR_HSV2RGB)
    red, green, blue = pixel[0, 0].tolist()
    return red, green, blue


def draw_objects(
    image_rgb: np.ndarray,
    objects: ViewObjects,
    scale: int = 3,
    *,
    mask: np.ndarray | None = None,
    ages_s: Mapping[int, float] | None = None,
    title: str = "",
    detail: str = "",
) -> np.ndarray:
    """Draw objects on ``image_rgb`` uint8 (128, 256, 3), enlarged ``scale`` times.

    Each object has its box, its track id, its score and its age from ``ages_s`` ({track id:
    seconds}). ``mask`` integers (128, 256): the track id of each pixel; those of ``objects``
    are tinted. ``title`` (left) and ``detail`` (right) are written in a bar over the top edge.

    Returns uint8 RGB (128 scale, 256 scale, 3). Raises VimaError (INVALID_VALUE) for another
    image or mask, or a scale below 1.
    """
    check_image(image_rgb)
    _check_scale(scale)
    canvas = np.repeat(np.repeat(image_rgb, scale, 0), scale, 1)
    if mask is not None:
        _tint(canvas, mask, objects.track_ids.tolist(), scale)
    taken: list[_Rectangle] = []
    if title or detail:
        taken.append(_title(canvas, title, detail))
    boxes = [_enlarged(box, scale) for box in objects.boxes.tolist()]
    colours = [object_color(track_id) for track_id in objects.track_ids.tolist()]
    for (left, top, right, bottom), colour in zip(boxes, colours, strict=True):
        cv2.rectangle(canvas, (left, top), (right, bottom), colour, 1)
    for i, (box, colour) in enumerate(zip(boxes, colours, strict=True)):
        track_id = int(objects.track_ids[i])
        text = f"{track_id} {objects.scores[i]:.2f}"
        if ages_s is not None and track_id in ages_s:
            text += f" {_duration(ages_s[track_id])}"
        others = boxes[:i] + boxes[i + 1 :]
        place = _label_position(text, box, taken, others, canvas.shape)
        taken.append(_write(canvas, text, place, colour))
    return canvas


def draw_action(
    canvas: np.ndarray,
    pick: Sequence[float],
    place: Sequence[float],
    scale: int = 3,
    labels: tuple[str, str] = ("pick", "place"),
) -> np.ndarray:
    """Draw an arrow from ``pick`` to ``place`` on a copy of ``canvas`` uint8 RGB (h, w, 3).

    The points are x, y [px] in the image before it was enlarged ``scale`` times; what lies
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
        _write(drawn, label, (point[0] + 2 * scale + 3, point[1] - 2 * scale), colour)
    return drawn


def draw_attention(
    frames: Mapping[str, np.ndarray], attention: DecisionAttention, scale: int = 3
) -> np.ndarray:
    """Draw what a decision attended to: the prompt, and below it both views side by side.

    A word or image of the prompt has a bar and a percentage: the action's attention to it. An
    object (or patch) has the colour of the image that it has the highest score for
    (``DecisionAttention.label_scores``), grey where that is no more than an equal share in its
    view; beside it the score, and the action's attention to the object. ``frames`` uint8 RGB
    (128, 256, 3) by view, enlarged ``scale`` times. Raises VimaError (INVALID_VALUE) for others.
    """
    _check_scale(scale)
    labels, scores = attention.labels, attention.label_scores
    colours = {
        k: object_color(number)
        for number, k in enumerate(k for k, label in enumerate(labels) if label.startswith("{"))
    }
    canvases = []
    for view in VIEWS:
        check_image(frames[view])
        canvas = np.repeat(np.repeat(frames[view], scale, 0), scale, 1)
        taken = [_title(canvas, view, "score of an image; attention of the action")]
        rows = [i for i, token in enumerate(attention.observed) if token.view == view]
        boxes = [_enlarged(attention.observed[i].box or (0, 0, 0, 0), scale) for i in rows]
        for number, (i, box) in enumerate(zip(rows, boxes, strict=True)):
            best = max(colours, key=lambda k: scores[i, k], default=None)
            text, colour = f"action {attention.action_to_observed[i]:.0%}", _GREY
            if best is not None and scores[i, best] > 1 / len(rows):
                colour = colours[best]
                text = f"{labels[best]} {scores[i, best]:.0%}, {text}"
            cv2.rectangle(canvas, box[:2], box[2:], colour, 2)
            others = boxes[:number] + boxes[number + 1 :]
            place = _label_position(text, box, taken, others, canvas.shape)
            taken.append(_write(canvas, text, place, colour))
        canvases.append(canvas)
    images = np.hstack(canvases)
    return np.vstack([_prompt_strip(attention, colours, images.shape[1]), images])


def _prompt_strip(
    attention: DecisionAttention, colours: Mapping[int, tuple[int, int, int]], width: int
) -> np.ndarray:
    """Draw the prompt in words, with the action's attention to each, (h, ``width``, 3)."""
    lines = [np.full((_STRIP_LINE, width, 3), _STRIP, np.uint8)]
    x = _STRIP_GAP
    for k, (label, share) in enumerate(
        zip(attention.labels, attention.action_to_labels.tolist(), strict=True)
    ):
        text = label.encode("ascii", "replace").decode()
        needed = max(_text_size(text)[0], _text_size("100%")[0])
        if x + needed > width - _STRIP_GAP and x > _STRIP_GAP:
            lines.append(np.full((_STRIP_LINE, width, 3), _STRIP, np.uint8))
            x = _STRIP_GAP
        colour = colours.get(k, _WHITE)
        cv2.putText(lines[-1], text, (x, 20), _FONT, _FONT_SCALE, colour, 1, cv2.LINE_AA)
        cv2.rectangle(lines[-1], (x, 28), (x + needed, 34), _GREY, 1)
        cv2.rectangle(lines[-1], (x, 28), (x + round(needed * share), 34), colour, cv2.FILLED)
        percent = f"{share:.0%}"
        cv2.putText(lines[-1], percent, (x, 50), _FONT, _FONT_SCALE, _GREY, 1, cv2.LINE_AA)
        x += needed + _STRIP_GAP
    return np.vstack(lines)


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


def _enlarged(box: Sequence[int], scale: int) -> _Rectangle:
    """Return left, top, right, bottom (inclusive) of a policy box, enlarged ``scale`` times."""
    x, y, height, width = box
    left, top = (x - width // 2) * scale, (y - height // 2) * scale
    return left, top, left + (width + 1) * scale - 1, top + (height + 1) * scale - 1


def _tint(canvas: np.ndarray, mask: np.ndarray, track_ids: Sequence[int], scale: int) -> None:
    """Tint the pixels of each object with its colour and draw its outline."""
    kind, shape = getattr(mask, "dtype", np.dtype(object)).kind, np.shape(mask)
    if kind not in "iu" or shape != FRAME_SHAPE:
        got = f"{getattr(mask, 'dtype', type(mask).__name__)} {shape}"
        raise VimaError("INVALID_VALUE", f"mask is {got}; valid: integers {FRAME_SHAPE}")
    large = np.repeat(np.repeat(mask, scale, 0), scale, 1)
    for track_id in track_ids:
        colour = object_color(track_id)
        pixels = large == track_id
        canvas[pixels] = np.round((1 - _TINT) * canvas[pixels] + _TINT * np.array(colour))
        outlines, _ = cv2.findContours(
            pixels.view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE
        )
        cv2.drawContours(canvas, outlines, -1, colour, 1)


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:.1f}s" if seconds < 9.95 else f"{seconds:.0f}s"


def _title(canvas: np.ndarray, title: str, detail: str) -> _Rectangle:
    """Draw a dark bar over the top edge; ``detail`` is left out without space for it."""
    bar = canvas[:_TITLE_HEIGHT]
    bar[...] = bar // 4
    width = canvas.shape[1]
    middle = _TITLE_HEIGHT - 6
    cv2.putText(canvas, title, (6, middle), _FONT, _FONT_SCALE, _WHITE, 1, cv2.LINE_AA)
    left = width - 6 - _text_size(detail)[0]
    if left > 12 + _text_size(title)[0]:
        cv2.putText(canvas, detail, (left, middle), _FONT, _FONT_SCALE, _GREY, 1, cv2.LINE_AA)
    return 0, 0, width - 1, _TITLE_HEIGHT - 1


def _text_size(text: str) -> tuple[int, int]:
    (width, height), _ = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)
    return width, height


def _label_position(
    text: str,
    box: _Rectangle,
    texts: Sequence[_Rectangle],
    boxes: Sequence[_Rectangle],
    shape: Sequence[int],
) -> tuple[int, int]:
    """Return the lower left of ``text`` around ``box`` with minimum overlap."""
    width, height = _text_size(text)
    left, top, right, bottom = box
    below, middle = bottom + height + 5, (top + bottom + height) // 2
    places = [
        (left, top - 5),
        (left, below),
        (right + 5, middle),
        (left - width - 5, middle),
        (right - width, top - 5),
        (right - width, below),
    ]

    def covers(place: tuple[int, int]) -> tuple[int, int]:
        there = _text_area(text, place, shape)
        return (
            sum(_intersect(there, other) for other in texts),
            sum(_intersect(there, other) for other in boxes),
        )

    return min(places, key=covers)


def _text_area(text: str, corner: Sequence[int], shape: Sequence[int]) -> _Rectangle:
    """Return the area of ``text`` with its lower left at ``corner``, moved into the image."""
    width, height = _text_size(text)
    x = max(0, min(int(corner[0]), shape[1] - width - 1))
    y = max(height + 1, min(int(corner[1]), shape[0] - 3))
    return x - 1, y - height - 1, x + width, y + _MARGIN


def _intersect(a: _Rectangle, b: _Rectangle) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def _write(
    canvas: np.ndarray, text: str, corner: Sequence[int], colour: tuple[int, int, int]
) -> _Rectangle:
    """Draw ``text`` with its lower left at ``corner``, moved into the image; return its area."""
    area = _text_area(text, corner, canvas.shape)
    cv2.rectangle(canvas, area[:2], area[2:], (0, 0, 0), cv2.FILLED)
    at = area[0] + 1, area[3] - _MARGIN
    cv2.putText(canvas, text, at, _FONT, _FONT_SCALE, colour, 1, cv2.LINE_AA)
    return area
