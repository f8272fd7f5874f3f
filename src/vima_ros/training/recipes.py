"""Recipes: YAML files of typed, limited and documented settings.

A section of such a file is a frozen dataclass. Its fields are made by ``setting``, and its
``__post_init__`` calls ``check``.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from vima_ros.errors import VimaError

MAX_FILE = 1 << 16  # [bytes]
MAX_DEPTH = 8  # of mappings and lists within each other; recipes have 4
MAX_FAULTS = 10  # that one message names
MAX_KEYS = 16  # that are listed for one that there is not
MAX_STEPS, MAX_BATCH = 10**9, 10**6  # far more than any training of use here
TaskWeights = Mapping[str, float]
Numbers = tuple[int, ...]
VALID = {
    int: "a whole number",
    float: "a number",
    str: "a word",
    TaskWeights: "TASK: NUMBER lines",
    Numbers: "a list of whole numbers",
}


class _NoRecipe(yaml.MarkedYAMLError):
    """Error for YAML constructs that recipes do not allow."""


class _Loader(yaml.SafeLoader):
    """YAML loader that reads 1e-4 as a number, as YAML 1.2 does, without aliases."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node as the base class does; raises _NoRecipe."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            problem = f"*{_short(event.anchor)} is an alias; valid: the value itself"
            raise _NoRecipe(problem=problem, problem_mark=event.start_mark)
        if self._depth > MAX_DEPTH:
            problem = f"nested more than {MAX_DEPTH} deep; valid: sections with keys"
            raise _NoRecipe(problem=problem, problem_mark=event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)  # type: ignore[no-untyped-call]
        self._depth -= 1
        return node


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def setting(
    default: Any, description: str, *, low: float | None = None, high: float | None = None,
    above: float | None = None,
) -> Any:  # fmt: skip
    """Declare a field of a recipe; the unit belongs in the description.

    Valid is ``low`` to ``high``, or above ``above`` and at most ``high``. ``default``: a value, or
    a type that makes one. Types: int, float, TaskWeights, Numbers, or a dataclass of such fields.
    """
    metadata = {"description": description, "low": low, "high": high, "above": above}
    if isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def check(recipe: Any) -> None:
    """Raise VimaError (BAD_CONFIG) for a field of ``recipe`` of a wrong type or out of range."""
    types = get_type_hints(type(recipe))
    for field in dataclasses.fields(recipe):
        fault = _fault(field, types[field.name], getattr(recipe, field.name))
        if fault:
            raise VimaError("BAD_CONFIG", fault)


def read_recipe(
    path: Path, sections: Mapping[str, type], defaults: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Read the sections of the YAML file ``path``, each as an instance of its dataclass.

    ``defaults``: by section, of keys whose default is not the dataclass's.

    Raises VimaError (BAD_CONFIG) naming file, line, key, what was got and what is valid.
    """
    if not path.is_file():
        raise VimaError("BAD_CONFIG", f"{path} is no file; valid: a recipe (--print-config)")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise VimaError("BAD_CONFIG", f"{path} has more than {MAX_FILE} bytes")
        documents = list(yaml.compose_all(data.decode("utf-8-sig"), _Loader))
    except (OSError, UnicodeDecodeError) as error:
        raise VimaError("BAD_CONFIG", f"{path} is not readable as text: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        hint = " (YAML is indented with spaces, not tabs)" if "\\t" in reason else ""
        what = "" if isinstance(error, _NoRecipe) else "not YAML: "
        raise VimaError("BAD_CONFIG", f"{path}{line}: {what}{reason}{hint}") from error
    valid = " and ".join(f"{name}:" for name in sections)
    if len(documents) != 1 or not isinstance(documents[0], yaml.MappingNode):
        got = "is empty" if not any(documents) else "is not one mapping"
        raise VimaError("BAD_CONFIG", f"{path} {got}; valid: {valid} with keys (--print-config)")
    reader = _Reader(path)
    values = {
        name: reader.section(name, node, sections[name], line, defaults.get(name, {}))
        for name, node, line in reader.entries(documents[0], "", sections)
    }
    for name in sections.keys() - values.keys():
        reader.faults.append(f"{path} lacks {name}:; valid: {valid}")
    if reader.faults:
        more = len(reader.faults) - MAX_FAULTS
        also = [f"{more} more faults"] if more > 0 else []
        raise VimaError("BAD_CONFIG", "; ".join(reader.faults[:MAX_FAULTS] + also))
    return values


def to_yaml(**sections: Any) -> str:
    """Format all settings of the sections with their explanations, for ``read_recipe``."""
    return "".join(f"{name}:\n{_lines(value, '  ')}" for name, value in sections.items())


def _lines(recipe: Any, indent: str) -> str:
    text, types = "", get_type_hints(type(recipe))
    for field in dataclasses.fields(recipe):
        value, kind = getattr(recipe, field.name), types[field.name]
        text += f"{indent}# {_explanation(field, kind)}\n"
        if dataclasses.is_dataclass(value):
            text += f"{indent}{field.name}:\n{_lines(value, indent + '  ')}"
        else:
            text += f"{indent}{field.name}: {_scalar(value)}\n"
    return text


def _scalar(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {item!r}" for key, item in value.items()) + "}"
    return repr(list(value) if isinstance(value, tuple) else value)


class _Reader:
    """Builder of dataclasses from a file's nodes; collects their faults."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.faults: list[str] = []

    def entries(
        self, mapping: yaml.MappingNode, where: str, known: Mapping[str, Any]
    ) -> Iterator[tuple[str, yaml.Node, int]]:
        """Yield key, value and line number of each known key, the first of duplicates."""
        lines: dict[str, int] = {}
        for key, value in mapping.value:
            line, name = key.start_mark.line + 1, str(key.value)
            if name in lines:
                self._add(line, f"{where}{name} stands in line {lines[name]} already")
            elif name not in known:
                self._add(line, f"no key {where}{_short(name)}; {_nearest(name, known)}")
            else:
                lines[name] = line
                yield name, value, line

    def section(
        self, name: str, node: yaml.Node, kind: Any, line: int, defaults: Mapping[str, Any]
    ) -> Any:
        """Build an instance of the dataclass ``kind``; None where its values have faults."""
        if not isinstance(node, yaml.MappingNode):
            self._add(line, f"{name} is not a mapping; valid: keys of {name} (--print-config)")
            return None
        before, types = len(self.faults), get_type_hints(kind)
        fields = {field.name: field for field in dataclasses.fields(kind)}
        values = dict(defaults)
        for key, item, at in self.entries(node, f"{name}.", fields):
            type_ = types[key]
            if dataclasses.is_dataclass(type_):
                values[key] = self.section(f"{name}.{key}", item, type_, at, {})
                continue
            values[key] = self._value(item)
            fault = _fault(fields[key], type_, values[key])
            if fault:
                self._add(at, f"{name}.{fault}")
        if len(self.faults) > before:
            return None
        try:
            return kind(**values)
        except VimaError as error:  # of keys that contradict each other
            self._add(line, f"{name}: {error}")
            return None

    def _value(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            try:
                return _Loader("").construct_object(node)
            except (
                *(ValueError, ArithmeticError, LookupError, AttributeError, yaml.YAMLError),
            ):  # such as a date that is none
                return node.value
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item) for item in node.value]
        names: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in names:
                self._add(key.start_mark.line + 1, f"{_short(str(key.value))} stands twice")
                break
            names.add(str(key.value))
        return {str(key.value): self._value(item) for key, item in node.value}

    def _add(self, line: int, fault: str) -> None:
        self.faults.append(f"{self.path}, line {line}: {fault}")


def _short(text: str) -> str:
    """Shorten a text to 60 characters."""
    return text if len(text) <= 60 else f"{text[:57]}..."


def _shown(value: Any) -> str:
    """Return a value's ``repr``, shortened."""
    try:
        return _short(repr(value))
    except ValueError:  # an int of more digits than Python writes
        return "a number of thousands of digits"


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(name, known, 1, 0.5)
    more = ", … (--print-config)" if len(known) > MAX_KEYS else ""
    valid = ", ".join(list(known)[:MAX_KEYS]) + more
    return f"nearest: {near[0]}" if near else f"valid: {valid}"


def _fault(field: dataclasses.Field, kind: Any, value: Any) -> str | None:
    """Describe the fault of a field's value, and the valid values."""
    valid = f"; valid: {_explanation(field, kind)}"
    if dataclasses.is_dataclass(kind):
        return None if isinstance(value, kind) else f"{field.name} is {_shown(value)}{valid}"  # type: ignore[arg-type]
    if value is None:
        return f"{field.name} has no value{valid}"
    if kind == Numbers:
        fits = isinstance(value, list | tuple) and all(_within(field, int, i) for i in value)
        return None if fits else f"{field.name} is {_shown(value)}{valid}"
    if kind != TaskWeights:
        return None if _within(field, kind, value) else f"{field.name} is {_shown(value)}{valid}"
    from vima_ros.sim.tasks import TASKS

    if not isinstance(value, Mapping):
        return f"{field.name} is {_shown(value)}{valid}"
    for task, weight in value.items():
        if task not in TASKS:
            near = get_close_matches(str(task), TASKS, 1, 0.6)
            nearest = f"nearest: {near[0]}; " if near else ""
            return f"{field.name}: no task {_shown(task)}; {nearest}valid: {', '.join(TASKS)}"
        if not _within(field, float, weight):
            return f"{field.name}: {task} is {_shown(weight)}{valid}"
    return None


def _within(field: dataclasses.Field, kind: type, value: Any) -> bool:
    if kind is str:
        return isinstance(value, str) and value in field.metadata["valid"]
    if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else int):
        return False
    low, high, above = (field.metadata.get(name) for name in ("low", "high", "above"))
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an int beyond every float
        return False
    return (
        finite
        and (low is None or value >= low)
        and (high is None or value <= high)
        and (above is None or value > above)
    )


def _explanation(field: dataclasses.Field, kind: Any) -> str:
    """Describe type and range of a field, with its description."""
    low, high, above = (field.metadata.get(name) for name in ("low", "high", "above"))
    text = VALID.get(kind, "keys of its own")
    if low is not None:
        text += f" from {low:.10g}" + (f" to {high:.10g}" if high is not None else " on")
    elif above is not None:
        text += f" above {above:g}" + (f" to {high:.10g}" if high is not None else "")
    return f"{text} ({field.metadata['description']})"
