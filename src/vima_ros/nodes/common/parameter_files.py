"""Parameter files and ``-p`` arguments, checked: each name has to reach a node that declares it.

rcl ignores a parameter that no node declares, a section that no node's name matches, an empty file
and an empty list, and refuses ``[0, -0.5]`` (an integer in a list of floats) with a traceback.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import rclpy
import yaml
from rclpy.signals import SignalHandlerOptions

from vima_ros.errors import VimaError
from vima_ros.nodes.common.parameters import default_values
from vima_ros.paths import config_path, expand_text

COMMON = ("use_sim_time", "start_type_description_service", "qos_overrides.")  # of every node
LAYOUT = "/**/NODE: with ros__parameters: under it, and NAME: VALUE under that"
_INTEGER = re.compile(r"[-+]?\d+")


@dataclass(frozen=True)
class Override:
    """A parameter as a file or the command line gives it.

    ``section``: the node pattern that it stands under, with a leading slash; ``source``: the file,
    or ``-p``; ``place``: the same with the line.
    """

    name: str
    section: str
    source: str
    place: str

    @property
    def node(self) -> str:
        """The node's name in the section, empty where that is a wildcard."""
        return self.section.rstrip("/").rpartition("/")[2].strip("*")

    def reaches(self, node: str) -> bool:
        """Whether rcl applies it to the node of this fully qualified name."""
        pattern = re.escape(self.section).replace(r"\*", "*")
        pattern = pattern.replace("/**", r"(/\w+)*").replace("/*", r"(/\w+)")
        return re.fullmatch(pattern, node) is not None


def init(args: list[str] | None = None) -> list[Override]:
    """``rclpy.init`` without its signal handlers, that reads lists of floats and integers.

    Returns what the arguments give: the ``parameter_overrides`` of this process's nodes.

    Raises VimaError: BAD_PARAMETER_FILE for a file that is absent, unreadable or holds nothing for
    any node of the suite, BAD_ARGUMENT for ROS arguments that rcl refuses.
    """
    words = list(sys.argv if args is None else args)
    given = read(words)
    with tempfile.TemporaryDirectory() as folder:
        for index, path in _files(words):
            text = _text(path)
            mended = _with_floats(text)
            if mended == text:
                words[index] = path
            else:
                words[index] = str(Path(folder) / f"{index}.yaml")
                Path(words[index]).write_text(mended, encoding="utf-8")
        try:
            # rclpy's own handlers would shut the context down before a node could publish a hold.
            rclpy.init(args=words, signal_handler_options=SignalHandlerOptions.NO)
        except RuntimeError as error:  # RCLError, UnknownROSArgsError
            why = str(error).partition(", at /")[0].removeprefix("failed to initialize rcl: ")
            raise VimaError("BAD_ARGUMENT", why) from error
    return given


def read(words: list[str]) -> list[Override]:
    """Each parameter that the command line ``words`` and the files named there give.

    Raises VimaError (BAD_PARAMETER_FILE).
    """
    found = []
    renamed = {word.rpartition("__node:=")[2] for word in words if "__node:=" in word}
    for _, path in _files(words):
        given = list(_from_file(path))
        if not any(item.node in renamed or _concerns_suite(item) for item in given):
            raise VimaError(
                "BAD_PARAMETER_FILE",
                f"{path} holds no parameter for any node of the suite ({', '.join(suite())}); "
                f"valid: {LAYOUT}",
            )
        found += given
    for option, rule in itertools.pairwise(words):
        if option in ("-p", "--param") and ":=" in rule:
            node, _, name = rule.partition(":=")[0].rpartition(":")
            found.append(Override(name, f"/{node.strip('/') or '**'}", "-p", f"-p {rule}"))
    return found


def check(node: Any) -> None:
    """Raise VimaError (BAD_PARAMETER) naming all that was meant for ``node`` and is not read."""
    given = _given(node)
    faults = [*_unknown(node, given), *_unread(node, given), *_repeated(node, given)]
    if faults:
        raise VimaError("BAD_PARAMETER", "; ".join(faults))


def sources(node: Any) -> list[str]:
    """The files, and ``-p``, that give ``node`` parameters, in the order of the command line."""
    name = node.get_fully_qualified_name()
    return list(dict.fromkeys(item.source for item in _given(node) if item.reaches(name)))


@cache
def suite() -> dict[str, list[str]]:
    """The names of the parameters of each node of the suite."""
    names = sorted(path.stem for path in config_path("").glob("*.yaml"))
    return {name: list(default_values(name)) for name in names}


# --- what a node does not read


def _given(node: Any) -> list[Override]:
    """As ``init`` read it, with the values; without ``init`` as the files are now."""
    return read(sys.argv) if node.parameter_overrides is None else node.parameter_overrides


def _unknown(node: Any, given: list[Override]) -> Iterator[str]:
    """Parameters that reach the node and that it, or under a wildcard the suite, lacks."""
    own = [field.name for field in dataclasses.fields(node.parameters)]
    every = list(dict.fromkeys([*own, *(name for names in suite().values() for name in names)]))
    for item in given:
        valid = own if item.node else every
        common = item.name.startswith(COMMON) or node.has_parameter(item.name)
        if common or item.name in valid or not item.reaches(node.get_fully_qualified_name()):
            continue
        owners = [name for name, names in suite().items() if item.name in names]
        yield (
            f"{item.name} ({item.place}, section {item.section}) is not a parameter of "
            + (node.get_name() if item.node else "any node of the suite")
            + (f" but of {', '.join(owners)}" if owners else "")
            + f"; nearest: {get_close_matches(item.name, valid, 1, 0.0)[0]}"
        )


def _unread(node: Any, given: list[Override]) -> Iterator[str]:
    """Sections that mean the node and do not match its fully qualified name."""
    full = node.get_fully_qualified_name()
    names = node.get_name(), node.name  # they differ where __node is remapped
    own = [field.name for field in dataclasses.fields(node.parameters)]
    # A file that has a section for this node may have others for nodes of other robots.
    served = {item.source for item in given if item.node in names and item.reaches(full)}
    beside = [full.removesuffix(names[0]) + name for name in suite()]
    ours = {item.source for item in given if any(map(item.reaches, [full, *beside]))}
    reported = set()
    for item in given:
        top_level, key = item.section.count("/") == 1, (item.source, item.section)
        if item.node in names:
            meant = top_level or item.source not in served
        elif item.node:
            close = get_close_matches(item.name, own, 1, 0.8)
            meant = bool(close) and _misspells(item.node, names[0])
        else:
            meant = item.name in own and (top_level or item.source not in ours)
        if key in reported or not meant or item.reaches(full):
            continue
        reported.add(key)
        right = f"/**/{names[0]}:" if item.node else "/**:"
        right = "-p NAME:=VALUE" if item.source == "-p" else right
        yield f"section {item.section} ({item.place}) is not read by {full}; valid: {right}"


def _repeated(node: Any, given: list[Override]) -> Iterator[str]:
    """Parameters that stand twice in one section of a file: only the last is read."""
    first: dict[tuple, Override] = {}
    for item in given:
        if item.source != "-p" and item.reaches(node.get_fully_qualified_name()):
            other = first.setdefault((item.name, item.section, item.source), item)
            if other is not item:
                yield f"{item.name} stands twice in {item.section}: {other.place}; {item.place}"


def _concerns_suite(item: Override) -> bool:
    return not item.node or any(item.node == n or _misspells(item.node, n) for n in suite())


def _misspells(name: str, node: str) -> bool:
    """Whether ``name`` is ``node`` with a letter (in a long name two) wrong, and no other's."""
    return name not in suite() and 0 < _edits(name.lower(), node) + (name != name.lower()) <= (
        1 if len(node) < 5 else 2
    )


def _edits(a: str, b: str) -> int:
    """Letters inserted, left out, replaced or swapped with their neighbour between two words."""
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


# --- files


def _files(words: list[str]) -> list[tuple[int, str]]:
    """Index and path of each parameter file in the arguments."""
    return [
        (i, expand_text(path))
        for i, path in enumerate(words)
        if i and words[i - 1] == "--params-file"
    ]


def _text(path: str) -> str:
    try:
        content = Path(path).read_bytes()
        utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else f"it is not UTF-8 text ({error})"
        raise VimaError("BAD_PARAMETER_FILE", f"{path} cannot be read: {why}") from error


def _documents(text: str) -> list[yaml.Node]:
    return [node for node in yaml.compose_all(text, yaml.SafeLoader) if node is not None]


def _from_file(path: str) -> Iterator[Override]:
    def bad(node: yaml.Node, why: str) -> VimaError:
        return VimaError("BAD_PARAMETER_FILE", f"{path}, line {node.start_mark.line + 1}: {why}")

    def sections(node: yaml.Node, section: str) -> Iterator[Override]:
        if not isinstance(node, yaml.MappingNode):
            raise bad(node, f"a value in {section or 'no section'}; valid: {LAYOUT}")
        for key, value in node.value:
            if key.value == "ros__parameters" and section:
                yield from parameters(value, section, "")
            else:
                yield from sections(value, f"{section}/{key.value.strip('/')}")

    def parameters(node: yaml.Node, section: str, prefix: str) -> Iterator[Override]:
        if not isinstance(node, yaml.MappingNode):
            raise bad(node, f"ros__parameters of {section} holds no NAME: VALUE")
        for key, value in node.value:
            name = f"{prefix}{key.value}"
            if isinstance(value, yaml.MappingNode):
                yield from parameters(value, section, f"{name}.")
            elif not value.value and not getattr(value, "style", None):
                raise bad(key, f"{name} has no value; valid: a value, or the line left out")
            else:
                place = f"{path}, line {key.start_mark.line + 1}"
                yield Override(name, section, str(path), place)

    try:
        for document in _documents(_text(path)):
            yield from sections(document, "")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        hint = " (YAML is indented with spaces, not tabs)" if "\\t" in str(error.problem) else ""
        why = f"{path}, line {line}: {error.problem or error.context}{hint}"
        raise VimaError("BAD_PARAMETER_FILE", why) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise VimaError("BAD_PARAMETER_FILE", f"{path}: {error}") from error


def _with_floats(text: str) -> str:
    """``text`` with integers written as floats in each list that has floats, too."""
    places: list[int] = []

    def visit(node: yaml.Node) -> None:
        if isinstance(node, yaml.MappingNode):
            for _, value in node.value:
                visit(value)
        elif isinstance(node, yaml.SequenceNode) and all(map(_is_number, node.value)):
            whole = [item for item in node.value if _INTEGER.fullmatch(item.value)]
            if len(whole) < len(node.value):
                places.extend(item.end_mark.index for item in whole)

    for document in _documents(text):
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
