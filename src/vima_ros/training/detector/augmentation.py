"""Augmentation of the detector's training images: camera pose, light, sensor, compression."""

from __future__ import annotations

import cv2
import numpy as np

MIN_PIXELS = 6  # [px] an object with fewer is not asked for


def augment(
    frame: np.ndarray, mask: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw another image of the same objects.

    ``frame``: RGB uint8 (h, w, 3); ``mask``: ids uint8 (h, w). Mirrored half of the time, moved
    and scaled, with other light and colours, sensor noise, blur and compression.
    """
    if random.random() < 0.5:
        frame, mask = frame[:, ::-1], mask[:, ::-1]
    if random.random() < 0.6:
        frame, mask = _moved(frame, mask, random)
    return _seen_otherwise(np.ascontiguousarray(frame), random), np.ascontiguousarray(mask)


def _moved(
    frame: np.ndarray, mask: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    height, width = mask.shape
    matrix = cv2.getRotationMatrix2D(
        ((width - 1) / 2, (height - 1) / 2), random.uniform(-6, 6), random.uniform(0.85, 1.2)
    )
    matrix[:, 2] = matrix[:, 2] + random.uniform(-0.08, 0.08, 2) * (width, height)
    # Ids need the nearest pixel; what comes into the image is more of its edge, and background.
    frame = cv2.warpAffine(
        frame, matrix, (width, height), None, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    )
    mask = cv2.warpAffine(mask, matrix, (width, height), None, cv2.INTER_NEAREST)
    return frame, mask


def _seen_otherwise(frame: np.ndarray, random: np.random.Generator) -> np.ndarray:
    size = frame.shape[1::-1]
    if random.random() < 0.2:  # a small sensor, enlarged
        scale = random.uniform(0.6, 1.0)
        small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        frame = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    if random.random() < 0.2:
        frame = cv2.GaussianBlur(frame, (0, 0), random.uniform(0.3, 1.0))
    if random.random() < 0.7:
        values = np.linspace(0, 1, 256) ** random.uniform(0.7, 1.4)
        gains = random.uniform(0.75, 1.2) * random.uniform(0.9, 1.1, 3)
        table = np.clip(values[:, None] * gains + random.uniform(-0.08, 0.08), 0, 1)
        frame = cv2.LUT(frame, np.round(255 * table).astype(np.uint8)[None])
    if random.random() < 0.05:
        frame = np.repeat(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    if random.random() < 0.4:
        noise = random.normal(0, random.uniform(1, 8), frame.shape)
        frame = np.clip(frame + noise, 0, 255).astype(np.uint8)
    if random.random() < 0.2:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(50, 96))]
        frame = cv2.imdecode(cv2.imencode(".jpg", frame, quality)[1], cv2.IMREAD_COLOR)
    return frame


def instance_targets(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute boxes float32 (n, 4) x1, y1, x2, y2 [px, exclusive ends] and masks bool (n, h, w).

    ``mask``: ids uint8 (h, w), 0 = background. Objects of fewer than MIN_PIXELS are left out.
    """
    ids, sizes = np.unique(mask, return_counts=True)
    ids = ids[(ids > 0) & (sizes >= MIN_PIXELS)]
    masks = mask[None] == ids[:, None, None]
    boxes = np.zeros((len(ids), 4), np.float32)
    for box, pixels in zip(boxes, masks, strict=True):
        x, y, columns, rows = cv2.boundingRect(pixels.view(np.uint8))
        box[:] = x, y, x + columns, y + rows
    return boxes, masks
