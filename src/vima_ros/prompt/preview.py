"""Preview of an encoded prompt: words, and crops or whole images, in reading order, one image."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from vima_ros.specs import VIEWS, EncodedPrompt, PromptImage, ViewObjects

WIDTH = 1024  # of the image [px]
CROP = 64  # side of a crop as drawn [px]
ROW = 2 * CROP + 44  # of text and images [px]
MARGIN, GAP = 16, 6  # [px]
MAX_CROPS = 6  # crops drawn per view; the number of further ones is written
_FONT, _SCALE, _SMALL = cv2.FONT_HERSHEY_SIMPLEX, 0.8, 0.4
_PAPER, _INK, _FAINT = (255, 255, 255), (20, 20, 20), (140, 140, 140)
_FRAME = {"front": (40, 110, 200), "top": (200, 110, 40)}


def draw_prompt(prompt: EncodedPrompt, piece: Callable[[int], str]) -> np.ndarray:
    """Draw a prompt as uint8 RGB (height, WIDTH, 3), each image as a box of its crops or views.

    ``piece``: the text of a word id, with "▁" where a word begins (SentencePiece). The upper row
    of an image is its front view, the lower its top view.
    """
    blocks: list[np.ndarray] = []
    for token in prompt.tokens:
        if isinstance(token, PromptImage):
            blocks.append(_image(token))
        else:
            blocks += _word(piece(token))
    return _layout(blocks)


def _word(text: str) -> list[np.ndarray]:
    begins, text = text.startswith("▁"), text.replace("▁", " ").strip()
    shown = text.encode("ascii", "replace").decode()  # all that OpenCV's font can draw
    (width, _), _ = cv2.getTextSize(shown, _FONT, _SCALE, 2)
    block = np.full((ROW, width + (12 if begins else 1), 3), _PAPER, np.uint8)
    ink = _FAINT if text.startswith("<") else _INK
    cv2.putText(
        block, shown, (block.shape[1] - width, ROW // 2 + 8), _FONT, _SCALE, ink, 2, cv2.LINE_AA
    )
    return [block]


def _image(image: PromptImage) -> np.ndarray:
    rows = [
        _row(getattr(image, view), view)
        if image.images is None
        else _framed(getattr(image.images, view), view)
        for view in VIEWS
    ]
    width = max(row.shape[1] for row in rows)
    kind = image.kind.name.lower()
    label = f"{{{image.name}}} {kind}"
    (text_width, _), _ = cv2.getTextSize(label, _FONT, _SMALL, 1)
    block = np.full((ROW, max(width, text_width) + 2 * GAP, 3), _PAPER, np.uint8)
    for place, row in enumerate(rows):
        y = 22 + place * (CROP + GAP)
        block[y : y + CROP, GAP : GAP + row.shape[1]] = row
    cv2.putText(block, label, (GAP, 14), _FONT, _SMALL, _FAINT, 1, cv2.LINE_AA)
    cv2.rectangle(block, (1, 1), (block.shape[1] - 3, ROW - 12), _FAINT, 1)
    return block


def _row(objects: ViewObjects, view: str) -> np.ndarray:
    """Return the crops of one view, (CROP, w, 3)."""
    crops = [_framed(crop, view) for crop in objects.crops[:MAX_CROPS]]
    note = "" if len(objects) else f"no {view}"
    if len(objects) > MAX_CROPS:
        note = f"+{len(objects) - MAX_CROPS}"
    if note:
        blank = np.full((CROP, CROP, 3), _PAPER, np.uint8)
        cv2.putText(blank, note, (4, CROP // 2), _FONT, _SMALL, _FAINT, 1, cv2.LINE_AA)
        crops.append(blank)
    return np.hstack(crops)


def _framed(image: np.ndarray, view: str) -> np.ndarray:
    """Return an image (3, h, w) as (CROP, w, 3) with a frame in the view's colour."""
    columns = CROP * image.shape[2] // image.shape[1]
    drawn = cv2.resize(image.transpose(1, 2, 0), (columns, CROP), interpolation=cv2.INTER_NEAREST)
    cv2.rectangle(drawn, (0, 0), (columns - 1, CROP - 1), _FRAME[view], 2)
    return drawn


def _layout(blocks: list[np.ndarray]) -> np.ndarray:
    lines: list[list[np.ndarray]] = [[]]
    used = MARGIN
    for block in blocks:
        block = block[:, : WIDTH - 2 * MARGIN]
        if lines[-1] and used + block.shape[1] > WIDTH - MARGIN:
            lines.append([])
            used = MARGIN
        lines[-1].append(block)
        used += block.shape[1]
    canvas = np.full((2 * MARGIN + len(lines) * ROW, WIDTH, 3), _PAPER, np.uint8)
    for number, line in enumerate(lines):
        x, y = MARGIN, MARGIN + number * ROW
        for block in line:
            canvas[y : y + ROW, x : x + block.shape[1]] = block
            x += block.shape[1]
    return canvas
