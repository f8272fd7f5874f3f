"""Plot of a run's progress: losses and accuracies by step, validation beside training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vima_ros.errors import VimaError
from vima_ros.sim.tasks import TASKS
from vima_ros.training.run_directory import CURVES, PROGRESS, read_progress

SETTLED = 0.1  # share of a run whose high losses need not fit into the image
STYLES = ("-", "--")  # of training, of validation
MARKERS = "osv^D*PX"
Curves = Mapping[str, Sequence[float | None]]


def draw_curves(folder: Path) -> Path:
    """Draw ``folder``'s progress to curves.png; return its path.

    A panel each for the losses of which there is a validation, for the others, for the accuracies,
    and for those of validation by task; all axes are linear and begin at 0.

    Raises VimaError: NO_MATPLOTLIB, NO_PROGRESS, CANNOT_WRITE.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise VimaError(
            "NO_MATPLOTLIB", f"{CURVES} needs matplotlib: requirements/train.txt"
        ) from error
    records = read_progress(folder)
    if not records:
        raise VimaError("NO_PROGRESS", f"{folder / PROGRESS} has no line yet")
    steps = [record["step"] for record in records]
    losses, validation_losses = _curves(records, "losses"), _curves(records, "validation_losses")
    compared = {name: values for name, values in losses.items() if name in validation_losses}
    others = {name: values for name, values in losses.items() if name not in compared}
    training, validation = _curves(records, "training"), _curves(records, "validation")
    by_task = {name: values for name, values in validation.items() if name in TASKS}
    training_accuracies, validation_accuracies = (
        {name: values for name, values in curves.items() if name not in TASKS}
        for curves in (training, validation)
    )
    panels: list[tuple[str, Curves, Curves]] = [
        ("loss", compared, validation_losses),
        ("auxiliary loss" if compared else "loss", others, {}),
        ("accuracy", training_accuracies, validation_accuracies),
        ("accuracy by task", {}, by_task),
    ]
    panels = [panel for panel in panels if panel[1] or panel[2]]
    figure = Figure(figsize=(11, 1 + 3.5 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), squeeze=False, sharex=True)[:, 0]
    for panel, (label, solid, dashed) in zip(axes, panels, strict=True):
        _draw(panel, steps, solid, dashed)
        panel.set_ylabel(label)
        panel.set_ylim(0, 1.02 if "accuracy" in label else _top(solid, dashed))
        panel.grid(alpha=0.3)
    axes[-1].set_xlabel("step")
    try:
        figure.savefig(folder / CURVES, dpi=110)
    except OSError as error:
        raise VimaError("CANNOT_WRITE", f"{folder / CURVES}: {error}") from error
    return folder / CURVES


def _curves(records: Sequence[Mapping[str, Any]], key: str) -> dict[str, list[float | None]]:
    names = dict.fromkeys(name for record in records for name in record.get(key) or {})
    return {name: [(r.get(key) or {}).get(name) for r in records] for name in names}


def _draw(axes: Any, steps: Sequence[int], training: Curves, validation: Curves) -> None:
    """Draw a line per name with its color and marker; validation is dashed."""
    few = max(len(steps) // 12, 1)
    for number, name in enumerate(dict.fromkeys([*training, *validation])):
        look = {
            "color": f"C{number % 10}",
            "marker": MARKERS[number % len(MARKERS)],
            "markevery": (number % few, few),
            "markersize": 4,
            "linewidth": 1.2,
        }
        for kind, curves, style in zip(
            ("training", "validation"), (training, validation), STYLES, strict=True
        ):
            if name in curves:
                values = [float("nan") if v is None else v for v in curves[name]]
                axes.plot(steps, values, label=f"{name}, {kind}", linestyle=style, **look)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), ncols=1)


def _top(*kinds: Curves) -> float:
    """Return an upper limit of the axis that leaves out the losses of the first steps."""
    values = [
        value
        for curves in kinds
        for curve in curves.values()
        for value in curve[int(SETTLED * len(curve)) :]
        if value is not None
    ]
    return 1.05 * max(values, default=1.0) or 1.0
