"""Names of the suite's nodes, and misspellings of them."""

from __future__ import annotations

PERCEPTION, PROMPT, POLICY, ARM = "perception", "prompt", "policy", "arm"
MANAGER, TABLETOP, VIMA_BENCH = "manager", "tabletop", "vima_bench"
MANAGED = (PERCEPTION, PROMPT, POLICY, ARM)  # what a manager activates on a robot
SUITE = (TABLETOP, *MANAGED, MANAGER)  # those of a simulation
NODES = (*SUITE, VIMA_BENCH)  # all


def names_suite_node(name: str) -> bool:
    """Return whether ``name`` is a wildcard (empty), a node of the suite, or one misspelt."""
    return not name or any(name == node or is_misspelling(name, node) for node in NODES)


def is_misspelling(name: str, node: str) -> bool:
    """Return whether ``name`` is ``node`` with one letter wrong, in a long name two."""
    return name not in NODES and 0 < _edit_distance(name.lower(), node) + (
        name != name.lower()
    ) <= (1 if len(node) < 5 else 2)


def _edit_distance(a: str, b: str) -> int:
    """Return the edit distance of two words: insertions, deletions, replacements, swaps."""
    rows = [list(range(len(b) + 1))]
    for i in range(1, len(a) + 1):
        row = [i]
        for j in range(1, len(b) + 1):
            differs = a[i - 1] != b[j - 1]
            best = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + differs)
            if i > 1 and j > 1 and differs and a[i - 2 : i] == b[j - 2 : j][::-1]:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]
