"""Draw a gallery of all tasks: both views at the start, and the prompt with its images.

``python tools/gallery.py docs/gallery.png``
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from vima_ros.errors import VimaError
from vima_ros.files import write_image
from vima_ros.sim.episode_runner import EpisodeRunner
from vima_ros.sim.rendering.prompt_renderer import render_prompt_images
from vima_ros.sim.tasks import TASKS
from vima_ros.sim.tasks.base import Asset, TaskEpisode
from vima_ros.specs import POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH, VIEWS, AssetKind

_COLUMNS, _MARGIN, _GAP = 3, 14, 6  # tiles per row; margins of tiles and gap of words [px]
_TITLE, _LINE = 26, 44  # heights [px]
_FONT, _SIZE, _INK, _GREY = cv2.FONT_HERSHEY_SIMPLEX, 0.43, (20, 20, 20), (120, 120, 120)
_WIDTH = len(VIEWS) * POLICY_FRAME_WIDTH


def gallery(tasks: Sequence[str] = tuple(TASKS), seed: int = 0) -> np.ndarray:
    """Return an image (h, w, 3) uint8 RGB of the episode of ``seed`` of each task."""
    tiles = [tile(TASKS[name].sample(seed)) for name in tasks]
    rows = [tiles[i : i + _COLUMNS] for i in range(0, len(tiles), _COLUMNS)]
    bands = [_row(row) for row in rows]
    return np.concatenate(bands)


def tile(episode: TaskEpisode) -> np.ndarray:
    """Return an image (h, 512, 3) uint8 RGB of name, front and top view, and prompt."""
    with EpisodeRunner(episode) as run:
        views = np.concatenate([run.tabletop.render(view) for view in VIEWS], axis=1)
    title = _white(_TITLE, _WIDTH)
    _write(title, episode.task, 0, _TITLE - 9, _GREY)
    return np.concatenate([title, views, _prompt(episode)])


def _prompt(episode: TaskEpisode) -> np.ndarray:
    """Return an image (h, 512, 3) of the words and images of the prompt."""
    lines, x = [_white(_LINE, _WIDTH)], 0
    for word in _words(episode):
        width = _text_width(word) if isinstance(word, str) else word.shape[1]
        if isinstance(word, str) and word in ".:":  # follows an image
            x -= _GAP
        if x + width > _WIDTH:
            lines.append(_white(_LINE, _WIDTH))
            x = 0
        if isinstance(word, str):
            _write(lines[-1], word, x, _LINE // 2 + 5, _INK)
        else:
            top = (_LINE - len(word)) // 2
            lines[-1][top : top + len(word), x : x + width] = word
        x += width + _GAP
    return np.concatenate(lines)


def _words(episode: TaskEpisode) -> Iterator[str | np.ndarray]:
    small = {name: _thumbnail(asset) for name, asset in episode.assets.items()}
    for part in re.split(r"\{(\w+)\}", episode.prompt):
        if part in small:
            yield small[part]
        else:
            yield from part.split()


def _thumbnail(asset: Asset) -> np.ndarray:
    """Return the top view of a scene, or its part around an object, (38, w, 3)."""
    view = render_prompt_images(asset.scene, asset.kind)["top"]
    if asset.kind == AssetKind.SCENE:
        return _small(view.rgb, (_LINE - 6) * POLICY_FRAME_WIDTH // POLICY_FRAME_HEIGHT)
    x, y, width, height = cv2.boundingRect(view.mask)
    half = max(width, height) // 2 + 4
    middle_x, middle_y = x + width // 2, y + height // 2
    padded = np.pad(view.rgb, ((half, half), (half, half), (0, 0)), mode="edge")
    return _small(
        padded[middle_y : middle_y + 2 * half, middle_x : middle_x + 2 * half], _LINE - 6
    )


def _small(rgb: np.ndarray, width: int) -> np.ndarray:
    resized = cv2.resize(rgb, (width, _LINE - 6), interpolation=cv2.INTER_AREA)
    resized[[0, -1]] = resized[:, [0, -1]] = 200
    return resized


def _row(tiles: list[np.ndarray]) -> np.ndarray:
    height = max(map(len, tiles)) + _MARGIN
    band = _white(height, _COLUMNS * (_WIDTH + _MARGIN) + _MARGIN)
    for i, image in enumerate(tiles):
        left = _MARGIN + i * (_WIDTH + _MARGIN)
        band[: len(image), left : left + _WIDTH] = image
    return band


def _white(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 255, np.uint8)


def _text_width(text: str) -> int:
    return int(cv2.getTextSize(text, _FONT, _SIZE, 1)[0][0])


def _write(image: np.ndarray, text: str, x: int, y: int, ink: tuple[int, int, int]) -> None:
    cv2.putText(image, text, (x, y), _FONT, _SIZE, ink, 1, cv2.LINE_AA)


if __name__ == "__main__":
    try:
        write_image(Path(sys.argv[1]), gallery())
    except VimaError as error:
        print(f"gallery: {error.code}: {error}", file=sys.stderr)
        sys.exit(2)
