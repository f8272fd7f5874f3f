"""Tables for terminals and reports."""

from __future__ import annotations


def format_table(headings: list[str], rows: list[list[str]]) -> str:
    """Format a Markdown table with aligned columns."""
    table = [headings, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(headings))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in table
    ]
    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
