"""Check that each given parameter reaches a node that declares it.

rcl ignores a parameter that no node declares and a section that no node's name matches.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

from vima_ros.errors import VimaError
from vima_ros.nodes.common.node_names import NODES, is_misspelling
from vima_ros.nodes.common.parameter_defaults import own_names, shared_names
from vima_ros.nodes.common.parameter_files import Override, read_overrides

if TYPE_CHECKING:
    from vima_ros.nodes.common.lifecycle_node import VimaNode

# Parameters of every node, or their prefix.
COMMON_PARAMETERS = (
    "use_sim_time",
    "start_type_description_service",
    "qos_overrides.",
)  # of every node


def check_overrides(node: VimaNode) -> None:
    """Raise VimaError (BAD_PARAMETER) naming each parameter for ``node`` that is not read."""
    overrides = _overrides(node)
    faults = [*_unknown(node, overrides), *_unread(node, overrides), *_repeated(node, overrides)]
    if faults:
        raise VimaError("BAD_PARAMETER", "; ".join(faults))


def override_sources(node: VimaNode) -> list[str]:
    """Return the files, and ``-p``, that set parameters of ``node``, in command-line order."""
    name = node.get_fully_qualified_name()
    return list(dict.fromkeys(item.source for item in _overrides(node) if item.reaches(name)))


def _overrides(node: VimaNode) -> list[Override]:
    """Return the overrides as ``init`` read them; without ``init``, as the files are now."""
    return (
        read_overrides(sys.argv) if node.parameter_overrides is None else node.parameter_overrides
    )


def _unknown(node: VimaNode, overrides: list[Override]) -> Iterator[str]:
    """Describe the parameters that reach the node and that it, or the suite, does not declare."""
    own = [field.name for field in dataclasses.fields(node.parameters)]
    of_nodes = [name for names in own_names().values() for name in names]
    every = list(dict.fromkeys([*own, *shared_names(), *of_nodes]))
    for item in overrides:
        valid = own if item.node else every
        common = item.name.startswith(COMMON_PARAMETERS) or node.has_parameter(item.name)
        if common or item.name in valid or not item.reaches(node.get_fully_qualified_name()):
            continue
        near = get_close_matches(item.name, valid, 1)
        files = f"config/{node.name}.yaml" if item.node else "the files of config/"
        owners = [name for name, names in own_names().items() if item.name in names]
        owners += ["nodes that share it, in a section /**:"] * (item.name in shared_names())
        yield (
            f"{item.name} ({item.place}, section {item.section}) is not a parameter of "
            + (node.get_name() if item.node else "any node of the suite")
            + (f" but of {', '.join(owners)}" if owners else "")
            + (f"; nearest: {near[0]}" if near else f"; valid: those in {files}")
        )


def _unread(node: VimaNode, overrides: list[Override]) -> Iterator[str]:
    """Describe the sections meant for the node that do not match its fully qualified name."""
    full = node.get_fully_qualified_name()
    names = node.get_name(), node.name  # they differ where __node is remapped
    own = [field.name for field in dataclasses.fields(node.parameters)]
    # A file that has a section for this node may have others for nodes of other robots.
    served = {item.source for item in overrides if item.node in names and item.reaches(full)}
    beside = [full.removesuffix(names[0]) + name for name in NODES]
    ours = {item.source for item in overrides if any(map(item.reaches, [full, *beside]))}
    reported = set()
    for item in overrides:
        top_level, key = item.section.count("/") == 1, (item.source, item.section)
        if item.node in names:
            meant = top_level or item.source not in served
        elif item.node:
            close = get_close_matches(item.name, own, 1, 0.8)
            meant = bool(close) and is_misspelling(item.node, names[0])
        else:
            meant = item.name in own and (top_level or item.source not in ours)
        if key in reported or not meant or item.reaches(full):
            continue
        reported.add(key)
        right = f"/**/{names[0]}:" if item.node else "/**:"
        right = "-p NAME:=VALUE" if item.source == "-p" else right
        yield f"section {item.section} ({item.place}) is not read by {full}; valid: {right}"


def _repeated(node: VimaNode, overrides: list[Override]) -> Iterator[str]:
    """Describe the parameters set twice in one section of a file: only the last is read."""
    first: dict[tuple, Override] = {}
    for item in overrides:
        if item.source != "-p" and item.reaches(node.get_fully_qualified_name()):
            other = first.setdefault((item.name, item.section, item.source), item)
            if other is not item:
                yield f"{item.name} stands twice in {item.section}: {other.place}; {item.place}"
