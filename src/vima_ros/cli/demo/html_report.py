"""HTML report of the demo: one self-contained page with its images."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

import cv2

from vima_ros.files import write_atomic

PAGE = "index.html"
IMAGE_WIDTH, JPEG_QUALITY = 1000, 85  # [px], 0 to 100
_TEMPLATE = Path(__file__).with_name("report.html")


@dataclass(frozen=True)
class StepReport:
    """Images and description of one step: of the action, and of what it attended to."""

    images: tuple[Path, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True)
class TaskReport:
    """Steps and result of one task; ``result``: SUCCESS, or a code and its reason."""

    task: str
    seed: int
    text: str
    result: str
    success: bool
    steps: Sequence[StepReport]


def write_page(tasks: Sequence[TaskReport], detector: str, out: Path) -> Path:
    """Write ``out``/index.html and return its path.

    ``detector``: of the objects; empty: the policy reads whole images.
    """
    rows = "\n".join(
        f'<tr><td><a href="#{number}">{escape(t.task)}</a></td><td>{t.seed}</td>'
        f"<td>{len(t.steps)}</td><td>{_result(t)}</td></tr>"
        for number, t in enumerate(tasks, 1)
    )
    page = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        solved=sum(task.success for task in tasks),
        total=len(tasks),
        seen=f"objects detected by <code>{escape(detector)}</code>"
        if detector
        else "read whole by the policy",
        rows=rows,
        tasks="\n".join(_section(number, task) for number, task in enumerate(tasks, 1)),
    )
    path = out / PAGE
    write_atomic(path, page.encode())
    return path


def _section(number: int, task: TaskReport) -> str:
    steps = "\n".join(
        f"<p>{'<br>'.join(map(escape, step.lines))}</p>{''.join(map(_image, step.images))}"
        for step in task.steps
    )
    return (
        f'<h2 id="{number}">{escape(task.task)}, seed {task.seed}</h2>\n'
        f"<blockquote>{escape(task.text)}</blockquote>\n{steps}\n<p>Result: {_result(task)}</p>"
    )


def _result(task: TaskReport) -> str:
    kind = "success" if task.success else "failure"
    return f'<span class="{kind}">{escape(task.result)}</span>'


def _image(path: Path) -> str:
    """Return an img element that contains the image as a JPEG."""
    image = cv2.imread(str(path))
    height = round(image.shape[0] * IMAGE_WIDTH / image.shape[1])
    small = cv2.resize(image, (IMAGE_WIDTH, height), interpolation=cv2.INTER_AREA)
    data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    return f'<img alt="both views" src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">'
