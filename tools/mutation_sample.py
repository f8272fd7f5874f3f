"""Mutate random places of the library one at a time, and report which the tests catch.

``python tools/mutation_sample.py --count 100 --seed 1 --results sample.jsonl --table sample.md``

Each mutant is tested in a copy of the repository: first by the test file that mirrors the mutated
module, then by the other unit tests of its folder and by those that import it. Called again with
the same ``--results`` it continues; a mutant whose line is deleted there is tested again.
Hypothesis is derandomized, and does not shrink. Of the libraries, cosmic-ray 8.7 tests all mutants
or those that a hand-written filter leaves (annotations included), in place; mutmut 3.8 has no
sample and mutates only functions.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Queue

from mutation_places import KINDS, find_places

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = Path("src/vima_ros")
UNIT_TESTS = Path("test/unit")
PACKAGES = ("arm", "episode", "perception", "prompt")
# They need torchvision or Detectron2, which the environment of `make test` does not have.
EXCLUDED = (
    "detectors/detectron2_mask_rcnn.py",
    "detectors/mask_rcnn.py",
    "detectors/torch_common.py",
    "detectors/torchvision_mask_rcnn.py",
)
OUTCOMES = ("caught", "timed out", "escaped")
PROFILE = """
from hypothesis import Phase, settings
settings.register_profile(
    "mutation", deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate)
)
settings.load_profile("mutation")
"""
BASE_TIME, TIME_FACTOR = 30.0, 6.0  # limit: this [s], and times as long as the unchanged source


@dataclass(frozen=True)
class Mutant:
    """One mutation: the module, the place, and the line before and after."""

    path: str
    kind: str
    line: int
    before: str
    after: str
    source: bytes

    @property
    def key(self) -> tuple[str, int, str]:
        """Return what identifies the mutant in the results."""
        return self.path, self.line, self.after


def sample_mutants(root: Path, packages: Sequence[str], count: int, seed: int) -> list[Mutant]:
    """Return mutants of places drawn uniformly from all places of the packages."""
    rng = random.Random(seed)  # noqa: S311 (no secrets)
    paths = sorted(path for name in packages for path in (root / LIBRARY / name).rglob("*.py"))
    paths = [path for path in paths if not path.as_posix().endswith(EXCLUDED)]
    sources = {path: path.read_bytes() for path in paths}
    places = [(path, place) for path in paths for place in find_places(sources[path])]
    mutants = []
    for path, place in rng.sample(places, min(count, len(places))):
        changed = place.mutate(sources[path], rng)
        before, after = _changed_lines(sources[path], changed, place.line)
        name = path.relative_to(root).as_posix()
        mutants.append(Mutant(name, place.kind, place.line, before, after, changed))
    return mutants


def _changed_lines(before: bytes, after: bytes, line: int) -> tuple[str, str]:
    """Return the line that differs, before and after."""
    old, new = (source.decode().splitlines() for source in (before, after))
    return old[line - 1].strip(), new[line - 1].strip()


def tests_of(root: Path, module: str) -> tuple[list[str], list[str]]:
    """Return the test file that mirrors a module, if any, and the others that concern it.

    They are those in the same folder and all unit tests that import the module.
    """
    path = Path(module).relative_to(LIBRARY)
    mirror = UNIT_TESTS / path.parent / f"test_{path.name}"
    imported = "vima_ros." + ".".join(path.with_suffix("").parts)
    forms = (imported + " ", f"from {imported.rpartition('.')[0]} import {path.stem}")
    others = [
        test.relative_to(root)
        for test in sorted((root / UNIT_TESTS).rglob("test_*.py"))
        if test.parent == root / mirror.parent or any(f in test.read_text() for f in forms)
    ]
    others.sort(key=lambda test: test.parent != mirror.parent)
    first = [mirror.as_posix()] if (root / mirror).exists() else []
    return first, [test.as_posix() for test in others if test != mirror]


class Copy:
    """Copy of the tracked files of a repository, in which tests run."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        names = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"],  # noqa: S607
            cwd=root,
            check=True,
            capture_output=True,
        ).stdout
        for name in filter(None, names.decode().split("\0")):
            if (root / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(root / name, folder / name)
        settings = folder / "test/conftest.py"
        if settings.exists():
            settings.write_text(settings.read_text() + PROFILE)

    def write(self, path: str, source: bytes) -> None:
        """Write a source, and remove its bytecode, which is only checked by date and length."""
        file = self.folder / path
        file.write_bytes(source)
        for stale in file.parent.glob(f"__pycache__/{file.stem}.*.pyc"):
            stale.unlink()

    def test(self, tests: Sequence[str], limit: float | None, *options: str) -> str:
        """Run test files; return ``passed``, ``caught`` or ``timed out``."""
        paths = [str(self.folder / "src"), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        with subprocess.Popen(
            [*command, *options, *tests],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                return "timed out"
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        return "passed" if code in (0, 5) else "caught"  # 5: all were skipped


def clean_times(copy: Copy, tests: Sequence[str]) -> dict[str, float]:
    """Return the duration of each test file with the unchanged source [s].

    Raises SystemExit if a test fails: then no mutant could be distinguished from the original.
    """
    report = copy.folder / "durations.xml"
    options = ("-o", "junit_family=xunit1", f"--junitxml={report}")
    if copy.test(tests, None, *options) != "passed":
        raise SystemExit("a test fails without a mutation: mend it first")
    times: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 (pytest's own)
        times[case.get("file", "")] += float(case.get("time", 0))  # type: ignore[assignment]
    return dict(times)


def judge(copy: Copy, mutant: Mutant, times: dict[str, float]) -> str:
    """Return the outcome of a mutant, one of OUTCOMES."""
    original = (copy.folder / mutant.path).read_bytes()
    copy.write(mutant.path, mutant.source)
    try:
        for tests in filter(None, tests_of(copy.folder, mutant.path)):
            limit = BASE_TIME + TIME_FACTOR * sum(times.get(test, 0.0) for test in tests)
            outcome = copy.test(tests, limit)
            if outcome != "passed":
                return outcome
    finally:
        copy.write(mutant.path, original)
    return "escaped"


def run(mutants: Sequence[Mutant], results: Path, root: Path, workers: int) -> None:
    """Judge the mutants that ``results`` does not have yet, and append theirs."""
    known = {(entry["path"], entry["line"], entry["after"]) for entry in read(results)}
    todo = [mutant for mutant in mutants if mutant.key not in known]
    if not todo:
        return
    with tempfile.TemporaryDirectory(prefix="mutation") as folder:
        copies: Queue[Copy] = Queue()
        for i in range(workers):
            copies.put(Copy(root, Path(folder) / str(i) / "repository"))
        tests = sorted({t for mutant in todo for ts in tests_of(root, mutant.path) for t in ts})
        copy = copies.get()
        times = clean_times(copy, tests)
        copies.put(copy)

        def process(mutant: Mutant) -> None:
            copy, began = copies.get(), time.monotonic()
            try:
                entry = asdict(mutant) | {"outcome": judge(copy, mutant, times)}
            finally:
                copies.put(copy)
            del entry["source"]
            entry["seconds"] = round(time.monotonic() - began, 1)
            with results.open("a") as file:
                file.write(json.dumps(entry) + "\n")
            print(entry["outcome"], f"{mutant.path}:{mutant.line}", mutant.after, flush=True)

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(process, todo))


def read(results: Path) -> list[dict[str, str]]:
    """Return the entries of a results file."""
    return [json.loads(line) for line in results.read_text().splitlines()]


def table(entries: Sequence[dict[str, str]], seed: int) -> str:
    """Return the counts by package and by kind and the list of what escaped, as Markdown."""
    caught = sum(entry["outcome"] != "escaped" for entry in entries)
    share = 100 * caught / max(len(entries), 1)
    lines = [f"Seed {seed}: {caught} of {len(entries)} mutants caught ({share:.0f}%).", ""]
    package = [entry["path"].split("/")[2] for entry in entries]
    lines += _counts("package", sorted(set(package)), package, entries)
    lines += _counts("kind", KINDS, [entry["kind"] for entry in entries], entries)
    lines += ["| escaped | line | mutated to |", "|---|---|---|"]
    for entry in sorted(entries, key=lambda entry: (entry["path"], entry["line"])):
        if entry["outcome"] == "escaped":
            before, after = (entry[name].replace("|", r"\|") for name in ("before", "after"))
            place = f"{entry['path'].removeprefix('src/vima_ros/')}:{entry['line']}"
            lines.append(f"| {place} | `{before}` | `{after}` |")
    return "\n".join(lines) + "\n"


def _counts(
    title: str, names: Iterable[str], labels: Sequence[str], entries: Sequence[dict[str, str]]
) -> list[str]:
    """Return a table of how many mutants had each outcome, by label."""
    lines = [f"| {title} | mutants | " + " | ".join(OUTCOMES) + " |", "|---" * 5 + "|"]
    for name in [*names, "all"]:
        of_name = [
            entry["outcome"]
            for entry, label in zip(entries, labels, strict=True)
            if name in (label, "all")
        ]
        counts = [len(of_name), *(of_name.count(outcome) for outcome in OUTCOMES)]
        lines.append(f"| {name} | " + " | ".join(map(str, counts)) + " |")
    return [*lines, ""]


def main(argv: Sequence[str] | None = None) -> None:
    """Sample, test and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "packages", nargs="*", default=list(PACKAGES), help="Packages of src/vima_ros to mutate"
    )
    parser.add_argument("--count", type=int, default=100, help="Number of mutants")
    parser.add_argument("--seed", type=int, default=1, help="Seed of the sample")
    parser.add_argument("--workers", type=int, default=1, help="Number of tests at a time")
    parser.add_argument("--results", type=Path, required=True, help="File of results, continued")
    parser.add_argument("--table", type=Path, help="File of the table; default: stdout")
    args = parser.parse_args(argv)
    args.results.touch()
    mutants = sample_mutants(ROOT, args.packages, args.count, args.seed)
    run(mutants, args.results, ROOT, args.workers)
    keys = {mutant.key for mutant in mutants}
    entries = [e for e in read(args.results) if (e["path"], e["line"], e["after"]) in keys]
    text = table(entries, args.seed)
    print(text) if args.table is None else args.table.write_text(text)


if __name__ == "__main__":
    main()
