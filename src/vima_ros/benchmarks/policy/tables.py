"""Tables of the results of ``plan.run``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vima_ros.benchmarks.policy.plan import IMAGES, OBJECTS, STEPS, WORDS, Results


class Table(NamedTuple):
    """Table with a title that explains its columns, headings, and rows of cells."""

    title: str
    headings: list[str]
    rows: list[list[str]]


def describe(results: Results) -> str:
    """Describe machine, date and settings of the measurement in a line."""
    machine, plan = results["machine"], results["plan"]
    kernels = {f"{case['dtype']}: {case['kernels']}" for case in results["cases"]}
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, "
        f"{machine['device']}, PyTorch {machine['torch']} ({'; '.join(sorted(kernels))}), "
        f"{machine['date']}, load {machine['load']:.1f} before; random weights, {OBJECTS} objects "
        f"in 2 views, a prompt of {WORDS + 2 * IMAGES} tokens; medians (quartiles) of "
        f"{plan['repeat']} turns"
    )


def tables(results: Results) -> list[Table]:
    """Make the tables of results. Times in ms, memory in MB (10^6 bytes)."""
    cases = results["cases"]
    made = [
        _steps([case for case in cases if case["dtype"] == results["plan"]["dtypes"][0]]),
        _dtypes(cases),
        _recompute([case for case in cases if "plain 8" in case["times"]]),
        _encoding([case for case in cases if "plain 8" in case["times"]]),
        _memory(cases),
        _batches(cases),
        _agreement(results),
        _conditionings(results),
        _latents(results),
    ]
    return [table for table in made if table.rows]


def _ms(spread: Mapping[str, float], parts: int = 1) -> str:
    median, low, high = (1e3 * spread[key] / parts for key in ("median", "low", "high"))
    return f"{median:.1f} ({low:.1f}-{high:.1f})"


def _times(spread: Mapping[str, float]) -> str:
    return f"{spread['median']:.2f} ({spread['low']:.2f}-{spread['high']:.2f})"


STAGES = ("objects", "controller", "decoder", "total")
STAGE_HEADINGS = ["objects", "controller", "decoder", "crops to bins"]


def _steps(cases: Sequence[Results]) -> Table:
    rows = [
        [case["size"], case["dtype"], str(step)]
        + [_ms(case["times"][f"step {step}"][stage]) for stage in STAGES]
        for case in cases
        for step in range(1, STEPS + 1)
    ]
    return Table("Each step of an episode [ms]", ["size", "dtype", "step", *STAGE_HEADINGS], rows)


def _dtypes(cases: Sequence[Results]) -> Table:
    rows = [
        [case["size"], case["dtype"], _ms(case["times"]["prompt"]["total"])]
        + [_ms(case["times"]["step 8"][stage]) for stage in STAGES]
        + [_times(case["ratios"]["step 8 controller / step 1 controller"])]
        + [_ms(case["times"]["hidden"]["total"])]
        + [_times(case["ratios"]["attention total / step 8 total"])]
        for case in cases
    ]
    headings = ["size", "dtype", "prompt", *STAGE_HEADINGS, "controller, step 8 / step 1"]
    headings += ["crops to bins, 3 of 8 hidden in front", "with attention / without"]
    return Table("Prompt and step 8 [ms]", headings, rows)


def _recompute(cases: Sequence[Results]) -> Table:
    rows = []
    for case in cases:
        times, ratios = case["times"], case["ratios"]
        for step in (1, STEPS):
            for stage, name in (("controller", "controller"), ("total", "crops to bins")):
                own = f"step {step}"
                full = [f"{kind} {step}" for kind in ("full", "plain")]
                rows.append(
                    [case["size"], str(step), name]
                    + [_ms(times[what][stage]) for what in (own, *full)]
                    + [_times(ratios[f"{what} {stage} / {own} {stage}"]) for what in full]
                    + [f"{max(case['logits_apart'][what] for what in full):.0e}"]
                )
    title = (
        "The same decision with the controller's whole history computed again [ms]: full with the "
        "same kernels, plain with PyTorch's own; float32"
    )
    headings = ["size", "step", "part", "incremental", "full", "plain"]
    return Table(
        title, [*headings, "full / incremental", "plain / incremental", "logits apart"], rows
    )


def _encoding(cases: Sequence[Results]) -> Table:
    rows = []
    for case in cases:
        encoding = case["times"]["plain 8"]["objects"]
        over = [
            _times(case["ratios"][f"{what} total / plain 8 objects"])
            for what in ("step 1", "step 8", "hidden")
        ]
        rows.append([case["size"], _ms(encoding), *over])
    title = "Crops to bins, over plain PyTorch's time to encode all 16 crops and boxes; float32"
    headings = [
        "size",
        "plain encoding [ms]",
        "step 1",
        "step 8",
        "step 8, 3 of 8 hidden in front",
    ]
    return Table(title, headings, rows)


def _memory(cases: Sequence[Results]) -> Table:
    rows = []
    for case in cases:
        memory, file = case["memory"], case["file"]
        amounts = [file, memory["imported"], memory["loaded"], memory["decided"], memory["held"]]
        amounts += [memory["gpu"]] if "gpu" in memory else []
        rows.append(
            [case["size"], case["dtype"], f"{case['loading']:.1f}"]
            + [f"{amount / 1e6:.0f}" for amount in amounts]
            + [f"{memory['loaded'] / file:.2f}"]
        )
    headings = ["size", "dtype", "loading [s]", "file", "imports", "peak loading", "peak deciding"]
    headings += ["held"] + (["GPU peak"] if any("gpu" in c["memory"] for c in cases) else [])
    title = "Loading a file in the published form, and memory of the process [MB]"
    return Table(title, [*headings, "peak loading / file"], rows)


def _batches(cases: Sequence[Results]) -> Table:
    rows = [
        [case["size"], case["dtype"], n, _ms(stages["total"]), _ms(stages["total"], int(n))]
        for case in cases
        for n, stages in case["batches"].items()
    ]
    headings = ["size", "dtype", "sessions", "batch", "a decision"]
    return Table("Several sessions at once, second step [ms]", headings, rows)


def _agreement(results: Results) -> Table:
    rows = [
        [results["plan"]["agreement_size"], dtype, str(got["decisions"])]
        + [f"{100 * got[key]:.1f} %" for key in ("bins", "any_bin", "position", "logits")]
        for dtype, got in results["agreement"].items()
    ]
    title = (
        "Against float32, on random weights: bins that differ, decisions with any such bin, "
        "decisions with a position more than one bin off, mean logit difference over the logits' "
        "standard deviation"
    )
    headings = ["size", "dtype", "decisions", "bins", "any bin", "position", "logits"]
    return Table(title, headings, rows)


def _conditionings(results: Results) -> Table:
    rows = [
        [name, f"{got['parameters'] / 1e6:.2f} M", str(got["layers"]), str(got["tokens"])]
        + [_ms(got["times"]["prompt"]["total"])]
        + [_ms(got["times"]["step 1"]["total"])]
        + [_ms(got["times"][f"step {STEPS}"][stage]) for stage in STAGES]
        for name, got in results["conditionings"].items()
    ]
    headings = ["conditioning", "parameters", "layers", "tokens of a step", "prompt", "step 1"]
    headings += [f"step {STEPS}, {stage}" for stage in (*STAGES[:-1], "images or crops to bins")]
    return Table("The four conditionings at equal size, in turns, float32 [ms]", headings, rows)


def _latents(results: Results) -> Table:
    rows = []
    for axis, got in results["latents"].items():
        for n, (count, tokens) in enumerate(zip(got["counts"], got["tokens"], strict=True)):
            row = [axis, str(count), str(tokens)]
            for way in ("plain", "latents"):
                times = got[way]
                grown = times[n]["median"] / times[n - 1]["median"] if n else None
                row += [_ms(times[n]), f"x {grown:.1f}" if grown else ""]
            rows.append(row)
    title = (
        "Prompt or history read as it is, and through 16 latents: linear is x 4 from row to row, "
        "quadratic x 16 [ms]; images or crops encoded already, float32"
    )
    headings = ["number of", "", "tokens", "as it is", "growth", "through latents", "growth"]
    return Table(title, headings, rows)
