import json
import subprocess

import mutation_sample
import pytest
from mutation_places import KINDS, find_places

MUTATED = [
    ("comparison", "x = a < b", ["x = a <= b"]),
    ("comparison", "x = a >= b", ["x = a > b"]),
    ("comparison", "x = a == (b)", ["x = a != (b)"]),
    ("comparison", "x = a is not b", ["x = a is b"]),
    ("comparison", "x = a in b", ["x = a not in b"]),
    ("comparison", "x = a < b <= c", ["x = a <= b <= c", "x = a < b < c"]),
    ("arithmetic", "x = (a) + (b)", ["x = (a) - (b)"]),
    ("arithmetic", "x = a * b", ["x = a / b"]),
    ("arithmetic", "x = a // b", ["x = a * b"]),
    ("arithmetic", "x = a ** b", ["x = a * b"]),
    ("arithmetic", "x = -a", ["x = a"]),
    ("arithmetic", "x -= a", ["x += a"]),
    ("arithmetic", "x = (a  # + or -\n     - b)", ["x = (a  # + or -\n     + b)"]),
    ("boolean", "x = a and b", ["x = a or b"]),
    ("boolean", "x = not (a)", ["x = (a)"]),
    ("constant", "x = 3", ["x = (2)", "x = (4)", "x = (6)"]),
    ("constant", "x = 0.5", ["x = (-0.5)", "x = (1.0)", "x = (1.5)"]),
    ("constant", "x = True", ["x = False"]),
    ("constant", "x = 'NOT_PICKED'", ["x = 'NOT_PICKED_mutated'"]),
    ("branch", "if a:\n    pass", ["if (not (a)):\n    pass"]),
    ("branch", "while a:\n    pass", ["while (not (a)):\n    pass"]),
    ("branch", "x = a if b else c", ["x = a if (not (b)) else c"]),
    ("branch", "x = [a for a in b if a]", ["x = [a for a in b if (not (a))]"]),
    ("return", "def f():\n    return a", ["def f():\n    return None"]),
    ("loop", "for a in b:\n    break", ["for a in b:\n    continue"]),
    ("loop", "for a in b:\n    continue", ["for a in b:\n    break"]),
]
LEFT_OUT = [
    '"""Module of 1 line."""',
    'def f():\n    """Docstring."""\n    pass',
    "import a",
    "__all__ = ['a']",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    x = 1",
    "def f(a: int | None) -> float | None:\n    pass",
    "x: Literal['a'] | None = None",
    "@dataclass(frozen=True)\nclass A:\n    pass",
    "assert a > 0, 'a'",
    "log.warning('took', a + 1)",
    "print(a - 1)",
    "raise VimaError(code, f'got {a + 1}' + 'valid')",
    "message = f'{a / 1e9:.2f} s'",
    "message = 'valid: more than zero'",
    "def f():\n    return None",
]


def mutations(source, kind=None):
    """All sources that a mutation of this kind makes of ``source``."""
    return [
        source[: place.start] + replacement + source[place.end :]
        for place in find_places(source)
        for replacement in place.replacements
        if kind in (None, place.kind)
    ]


@pytest.mark.parametrize(("kind", "source", "expected"), MUTATED)
def test_a_place_is_mutated_as_its_kind_says_and_the_rest_stays(kind, source, expected):
    assert mutations(source.encode(), kind) == [text.encode() for text in expected]


def test_every_kind_has_an_example():
    assert {kind for kind, _, _ in MUTATED} == set(KINDS)


@pytest.mark.parametrize("source", LEFT_OUT)
def test_what_a_reader_alone_reads_is_not_mutated(source):
    assert mutations(source.encode()) == []


def test_of_a_raised_error_only_the_code_is_mutated():
    assert mutations(b"raise VimaError('BAD', 'message')") == [
        b"raise VimaError('BAD_mutated', 'message')"
    ]


def test_columns_count_bytes():
    source = "x = 'größer als'; y = a < b".encode()
    assert mutations(source) == [source.replace(b"<", b"<=")]


@pytest.mark.slow
def test_every_mutant_of_the_library_is_another_program():
    mutants = mutation_sample.sample_mutants(mutation_sample.ROOT, ("episode", "arm"), 200, 3)
    assert len({mutant.source for mutant in mutants}) == 200
    for mutant in mutants:
        compile(mutant.source, mutant.path, "exec")
        assert mutant.before != mutant.after


def test_a_seed_draws_the_same_sample_and_another_seed_another():
    def draw(seed):
        return mutation_sample.sample_mutants(mutation_sample.ROOT, ("prompt",), 20, seed)

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


@pytest.fixture
def repository(tmp_path):
    """A repository of one module with one well-tested and one untested function."""
    files = {
        "src/vima_ros/__init__.py": "",
        "src/vima_ros/arm/__init__.py": "",
        "src/vima_ros/arm/sums.py": "def double(a):\n    return a * 2\n\n"
        "def untested(a):\n    return a\n\ndef until(a):\n    while a > 9:\n        a -= 1\n",
        "test/unit/arm/test_sums.py": "from vima_ros.arm.sums import double, until\n\n"
        "def test_double():\n    assert double(3) == 6\n    until(20)\n",
        "pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['src']\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return tmp_path


@pytest.mark.slow
def test_mutants_are_caught_escape_or_time_out_and_the_sources_stay(
    repository, tmp_path_factory, monkeypatch
):
    before = (repository / "src/vima_ros/arm/sums.py").read_bytes()
    mutants = [
        mutant
        for mutant in mutation_sample.sample_mutants(repository, ("arm",), 100, 0)
        if mutant.kind in ("return", "arithmetic")
    ]
    results = tmp_path_factory.mktemp("results") / "results.jsonl"
    results.touch()
    endless = [mutant for mutant in mutants if mutant.before == "a -= 1"]
    mutation_sample.run([m for m in mutants if m not in endless], results, repository, workers=2)
    monkeypatch.setattr(mutation_sample, "BASE_TIME", 2.0)
    mutation_sample.run(endless, results, repository, workers=1)
    outcomes = {entry["before"]: entry["outcome"] for entry in mutation_sample.read(results)}
    assert outcomes.pop("a -= 1") == "timed out"
    assert outcomes.pop("return a") == "escaped"
    assert outcomes == {"return a * 2": "caught"}
    assert (repository / "src/vima_ros/arm/sums.py").read_bytes() == before

    lines = results.read_text().splitlines(keepends=True)
    results.write_text("".join(lines[:-1]))
    mutation_sample.run(mutants, results, repository, workers=1)
    assert sorted(map(key, results.read_text().splitlines())) == sorted(map(key, lines))


def key(line):
    return {k: v for k, v in json.loads(line).items() if k != "seconds"}.__repr__()


@pytest.mark.slow
def test_a_sample_is_not_judged_by_tests_that_fail_anyway(repository, tmp_path):
    (repository / "test/unit/arm/test_more.py").write_text("def test_more():\n    assert False\n")
    mutants = mutation_sample.sample_mutants(repository, ("arm",), 1, 0)
    (tmp_path / "results").touch()
    with pytest.raises(SystemExit, match="fails without a mutation"):
        mutation_sample.run(mutants, tmp_path / "results", repository, workers=1)


def test_a_module_is_tested_by_its_mirror_its_folder_and_what_imports_it(repository):
    more = {
        "arm/test_more.py": "",
        "nodes/test_importing.py": "from vima_ros.arm import sums\n",
        "nodes/test_other.py": "from vima_ros.arm.others import a\n",
    }
    for name, text in more.items():
        (repository / "test/unit" / name).parent.mkdir(exist_ok=True)
        (repository / "test/unit" / name).write_text(text)
    assert mutation_sample.tests_of(repository, "src/vima_ros/arm/sums.py") == (
        ["test/unit/arm/test_sums.py"],
        ["test/unit/arm/test_more.py", "test/unit/nodes/test_importing.py"],
    )


def test_the_table_counts_by_package_and_kind_and_lists_what_escaped():
    def entry(path, kind, outcome):
        before, after = "a | b", "a & b"
        path = f"src/vima_ros/{path}"
        return {
            "path": path, "kind": kind, "outcome": outcome,
            "line": 7, "before": before, "after": after,
        }  # fmt: skip

    entries = [
        entry("arm/a.py", "arithmetic", "caught"),
        entry("arm/b.py", "branch", "timed out"),
        entry("prompt/c.py", "arithmetic", "escaped"),
    ]

    text = mutation_sample.table(entries, 5)
    assert "Seed 5: 2 of 3 mutants caught (67%)." in text
    assert "| arm | 2 | 1 | 1 | 0 |" in text
    assert "| arithmetic | 2 | 1 | 0 | 1 |" in text
    assert text.count("| all | 3 | 1 | 1 | 1 |") == 2
    assert text.endswith("|---|---|---|\n| prompt/c.py:7 | `a \\| b` | `a & b` |\n")
