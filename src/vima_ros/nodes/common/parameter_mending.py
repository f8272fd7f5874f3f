"""Parameter files as rcl has to get them to read them as they are meant."""

from __future__ import annotations

import re

import yaml

_INTEGER = re.compile(r"[-+]?\d+")


def documents(text: str) -> list[yaml.Node]:
    """Return the YAML documents of a parameter file that are not empty."""
    return [node for node in yaml.compose_all(text, yaml.SafeLoader) if node is not None]


def mend(text: str, index: int) -> str:
    """Return the text of the ``index``-th file as rcl reads it rightly."""
    return _with_own_wildcard(_with_floats(text), index)


def _with_own_wildcard(text: str, index: int) -> str:
    """Return the YAML text with a wildcard section of its own in place of each ``/**:``.

    rcl merges all sections of one name, also that of ``-p``, where the first of them stands: a
    section of a node that follows it would beat ``-p`` and later files. All that ``/**/*``,
    ``/**/**/*`` and so on differ in is the name. A ``/**:`` around sections of nodes stays: they
    would not reach a node without a namespace.
    """
    marks = [
        (key.start_mark.index, key.end_mark.index)
        for document in documents(text)
        if isinstance(document, yaml.MappingNode)
        for key, value in document.value
        if key.value in ("/**", "**") and _has_parameters(value)
    ]
    for start, end in reversed(marks):
        text = f'{text[:start]}"{"/**" * (index + 1)}/*"{text[end:]}'
    return text


def _has_parameters(section: yaml.Node) -> bool:
    return isinstance(section, yaml.MappingNode) and any(
        key.value == "ros__parameters" for key, _ in section.value
    )


def _with_floats(text: str) -> str:
    """Return the YAML text with integers as floats in each list that has floats, too."""
    places: list[int] = []

    def visit(node: yaml.Node) -> None:
        if isinstance(node, yaml.MappingNode):
            for _, value in node.value:
                visit(value)
        elif isinstance(node, yaml.SequenceNode) and all(map(_is_number, node.value)):
            whole = [item for item in node.value if _INTEGER.fullmatch(item.value)]
            if len(whole) < len(node.value):
                places.extend(item.end_mark.index for item in whole)

    for document in documents(text):
        visit(document)
    for place in sorted(places, reverse=True):
        text = f"{text[:place]}.0{text[place:]}"
    return text


def _is_number(node: yaml.Node) -> bool:
    if not isinstance(node, yaml.ScalarNode) or node.style:
        return False
    try:
        float(node.value.replace(".nan", "nan").replace(".inf", "inf"))
    except ValueError:
        return False
    return True
