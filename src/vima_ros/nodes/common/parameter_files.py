"""Parameter files and ``-p`` arguments of a node, read before rcl reads them.

rcl ignores an empty file and an empty list, and refuses ``[0, -0.5]`` (an integer in a list of
floats) with a traceback.
"""

from __future__ import annotations

import itertools
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import rclpy
import yaml
from rclpy.signals import SignalHandlerOptions

from vima_ros.errors import VimaError
from vima_ros.nodes.common.node_names import NODES, names_suite_node
from vima_ros.nodes.common.parameter_mending import documents, mend
from vima_ros.paths import expand_text

LAYOUT = "/**/NODE: with ros__parameters: under it, and NAME: VALUE under that"


@dataclass(frozen=True)
class Override:
    """Parameter set by a file or the command line.

    ``section``: node pattern of its section, with a leading slash; ``source``: the file, or
    ``-p``; ``place``: the same with the line.
    """

    name: str
    section: str
    source: str
    place: str

    @property
    def node(self) -> str:
        """Name of the node in the section, empty where that is a wildcard."""
        return self.section.rstrip("/").rpartition("/")[2].strip("*")

    def reaches(self, node: str) -> bool:
        """Return whether rcl applies it to the node of this fully qualified name."""
        pattern = re.escape(self.section).replace(r"\*", "*")
        pattern = pattern.replace("/**", r"(/\w+)*").replace("/*", r"(/\w+)")
        return re.fullmatch(pattern, node) is not None


def init(args: list[str] | None = None) -> list[Override]:
    """Initialize rclpy without its signal handlers, with parameter files that ``mend`` has mended.

    Returns the ``parameter_overrides`` of this process's nodes.

    Raises VimaError: BAD_PARAMETER_FILE for a file that is absent, unreadable or holds nothing for
    any node of the suite, BAD_ARGUMENT for ROS arguments that rcl refuses.
    """
    words = list(sys.argv if args is None else args)
    overrides = read_overrides(words)
    with tempfile.TemporaryDirectory() as folder:
        for number, (index, path) in enumerate(_files(words)):
            text = _text(path)
            mended = mend(text, number)
            if mended == text:
                words[index] = path
            else:
                words[index] = str(Path(folder) / f"{index}.yaml")
                Path(words[index]).write_text(mended, encoding="utf-8")
        try:
            # rclpy's own handlers would shut the context down before a node could publish a hold.
            rclpy.init(args=words, signal_handler_options=SignalHandlerOptions.NO)
        except RuntimeError as error:  # RCLError, UnknownROSArgsError
            # rcl's error has nothing but this text, which ends with the place in its sources.
            why = str(error).partition(", at /")[0].removeprefix("failed to initialize rcl: ")
            raise VimaError("BAD_ARGUMENT", why) from error
    return overrides


def read_overrides(words: list[str]) -> list[Override]:
    """Read the parameters set by the command line ``words`` and the files named there.

    Raises VimaError (BAD_PARAMETER_FILE).
    """
    found = []
    renamed = {word.rpartition("__node:=")[2] for word in words if "__node:=" in word}
    for _, path in _files(words):
        overrides = list(_from_file(path))
        if not any(item.node in renamed or names_suite_node(item.node) for item in overrides):
            raise VimaError(
                "BAD_PARAMETER_FILE",
                f"{path} holds no parameter for any node of the suite ({', '.join(NODES)}); "
                f"valid: {LAYOUT}",
            )
        found += overrides
    for option, rule in itertools.pairwise(words):
        if option in ("-p", "--param") and ":=" in rule:
            node, _, name = rule.partition(":=")[0].rpartition(":")
            found.append(Override(name, f"/{node.strip('/') or '**'}", "-p", f"-p {rule}"))
    return found


def _files(words: list[str]) -> list[tuple[int, str]]:
    """Return index and path of each parameter file in the arguments."""
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
        for document in documents(_text(path)):
            yield from sections(document, "")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        hint = " (YAML is indented with spaces, not tabs)" if "\\t" in str(error.problem) else ""
        why = f"{path}, line {line}: {error.problem or error.context}{hint}"
        raise VimaError("BAD_PARAMETER_FILE", why) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise VimaError("BAD_PARAMETER_FILE", f"{path}: {error}") from error
