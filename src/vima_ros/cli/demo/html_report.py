"""The demo on one page: HTML with its pictures in it, to be read anywhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import cv2

from vima_ros.files import write_atomic

PAGE = "index.html"
WIDTH, QUALITY = 1000, 85  # of a picture on the page [px], and of its JPEG

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; }
table { border-collapse: collapse; width: 100%; }
td, th { padding: .3rem .8rem .3rem 0; text-align: left; border-bottom: 1px solid #ccc; }
img { width: 100%; display: block; margin: .5rem 0 1rem; }
.good { color: #176f2c; } .bad { color: #a32010; }
blockquote { font-size: 1.1rem; margin: .5rem 0; font-style: italic; }
"""


@dataclass(frozen=True)
class Step:
    """A step's picture and what is to be said of it."""

    picture: Path
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """A task as it was shown: ``verdict`` is the judge's, or why there is none."""

    task: str
    seed: int
    text: str
    verdict: str
    good: bool
    steps: Sequence[Step]


def write_page(scenes: Sequence[Scene], detector: str, out: Path) -> Path:
    """Write ``out``/index.html; its path."""
    solved = sum(scene.good for scene in scenes)
    rows = "\n".join(
        f'<tr><td><a href="#{number}">{escape(s.task)}</a></td><td>{s.seed}</td>'
        f"<td>{len(s.steps)}</td><td>{_verdict(s)}</td></tr>"
        for number, s in enumerate(scenes, 1)
    )
    parts = "\n".join(_part(number, scene) for number, scene in enumerate(scenes, 1))
    page = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>vima_ros demo</title><style>{_STYLE}</style>
<h1>{solved} of {len(scenes)} tasks solved</h1>
<p>Seen by two cameras, objects found by <code>{escape(detector)}</code>, decided by the policy,
checked by the gate, carried out by the simulated UR5e. The film is in <code>demo.mp4</code>.</p>
<table><tr><th>task</th><th>seed</th><th>steps</th><th>judge</th></tr>
{rows}
</table>
{parts}
</html>
"""
    path = out / PAGE
    write_atomic(path, page.encode())
    return path


def _part(number: int, scene: Scene) -> str:
    steps = "\n".join(
        f"<p>{'<br>'.join(map(escape, step.lines))}</p>{_picture(step.picture)}"
        for step in scene.steps
    )
    return (
        f'<h2 id="{number}">{escape(scene.task)}, seed {scene.seed}</h2>\n'
        f"<blockquote>{escape(scene.text)}</blockquote>\n{steps}\n<p>Judge: {_verdict(scene)}</p>"
    )


def _verdict(scene: Scene) -> str:
    return f'<span class="{"good" if scene.good else "bad"}">{escape(scene.verdict)}</span>'


def _picture(path: Path) -> str:
    """An image tag that holds the picture."""
    image = cv2.imread(str(path))
    height = round(image.shape[0] * WIDTH / image.shape[1])
    small = cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA)
    data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    return f'<img alt="both views" src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">'
