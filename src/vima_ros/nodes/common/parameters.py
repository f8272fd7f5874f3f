"""Parameters declared once: each is a field of a dataclass and a line of a YAML file.

The dataclass has type, description, range and whether the parameter may change at run time; the
values live in config/NODE.yaml and config/cell.yaml alone, which every node reads by itself, so
that a file or ``-p`` on the command line need name only what differs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from vima_ros.errors import VimaError
from vima_ros.nodes.common.parameter_defaults import default_values
from vima_ros.paths import expand_text

if TYPE_CHECKING:
    from vima_ros.nodes.common.lifecycle_node import P, VimaNode

T = TypeVar("T")
TYPES = {
    bool: Parameter.Type.BOOL,
    int: Parameter.Type.INTEGER,
    float: Parameter.Type.DOUBLE,
    str: Parameter.Type.STRING,
    list[int]: Parameter.Type.INTEGER_ARRAY,
    list[float]: Parameter.Type.DOUBLE_ARRAY,
    list[str]: Parameter.Type.STRING_ARRAY,
}
VALID = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list[int]: "a list of whole numbers",
    list[float]: "a list of numbers",
    list[str]: "a list of texts",
}


def parameter(
    description: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    read_only: bool = False,
    path: bool = False,
) -> Any:
    """Return a dataclass field that is a ROS parameter; its description includes the unit.

    ``low`` to ``high`` (both, for numbers) and ``choices`` (for strings) limit the value. Of a
    ``path`` (a string), the node gets the home folder in place of a leading ``~``.
    """
    metadata = {"description": description, "choices": choices, "read_only": read_only}
    metadata["path"] = path
    metadata["range"] = None if low is None else (low, high)
    return dataclasses.field(metadata=metadata)


def _descriptor(field: dataclasses.Field, kind: type) -> ParameterDescriptor:
    metadata = field.metadata
    descriptor = ParameterDescriptor(
        description=metadata["description"], read_only=metadata["read_only"]
    )
    if metadata["choices"]:
        descriptor.additional_constraints = "one of: " + ", ".join(metadata["choices"])
    if metadata["range"]:
        low, high = metadata["range"]
        if kind is int:
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high))
            ]
    return descriptor


def _refusal(field: dataclasses.Field, kind: type, value: object) -> VimaError:
    valid = VALID[kind]
    if field.metadata["choices"]:
        valid = "one of " + ", ".join(repr(choice) for choice in field.metadata["choices"])
    elif field.metadata["range"]:
        low, high = field.metadata["range"]
        valid += f" from {low} to {high}" if kind is int else f" from {low:g} to {high:g}"
    return VimaError(
        "BAD_PARAMETER",
        f"parameter {field.name} is {value!r}; valid: {valid} ({field.metadata['description']})",
    )


def _check(field: dataclasses.Field, kind: type, value: object) -> None:
    """Raise VimaError for a value that is not a choice, or not finite."""
    choices = field.metadata["choices"]
    items = value if isinstance(value, Iterable) else [value]
    finite = all(math.isfinite(item) for item in items if isinstance(item, float))
    if (choices and value not in choices) or not finite:
        raise _refusal(field, kind, value)


def _expanded(field: dataclasses.Field, value: object) -> object:
    """Return the value, of a path with ``~`` expanded. Raises VimaError (BAD_PARAMETER)."""
    try:
        return expand_text(str(value)) if field.metadata["path"] else value
    except VimaError as error:
        raise VimaError("BAD_PARAMETER", f"parameter {field.name}: {error}") from error


def _with_floats(given: Parameter, kind: type) -> Parameter:
    """Return ``given`` with floats in place of whole numbers where ``kind`` is of floats."""
    if kind is float and given.type_ == Parameter.Type.INTEGER:
        return Parameter(given.name, value=float(given.value))
    if kind == list[float] and given.type_ == Parameter.Type.INTEGER_ARRAY:
        return Parameter(given.name, value=[float(item) for item in given.value])
    return given


def declare(node: Node, node_name: str, kind: type[T]) -> T:
    """Declare every field of ``kind`` on ``node`` and return the values.

    Raises VimaError (BAD_PARAMETER) naming the parameter, what was got and what is valid.
    """
    defaults, types = default_values(node_name), get_type_hints(kind)
    overrides = node._parameter_overrides  # of files and command line; rclpy shows them nowhere
    values = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]  # a dataclass
        name, type_ = field.name, types[field.name]
        if name not in defaults:
            raise VimaError("BAD_PARAMETER", f"config/{node_name}.yaml lacks {name}")
        if name in overrides:
            overrides[name] = _with_floats(overrides[name], type_)
        default = Parameter(name, TYPES[type_], defaults[name])
        try:
            declared = node.declare_parameter(name, default.value, _descriptor(field, type_))
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            given = overrides[name].value if name in overrides else defaults[name]
            raise _refusal(field, type_, given) from error
        _check(field, type_, declared.value)
        values[name] = _expanded(field, declared.value)
    return kind(**values)


def follow_changes(node: VimaNode[P]) -> None:
    """Keep ``node.parameters`` up to date with changes at run time; refuse bad ones.

    Changes that are set together are accepted together, by each field's limits and by what the
    dataclass's ``__post_init__`` checks of the new whole, or none of them.
    """
    fields = {field.name: field for field in dataclasses.fields(node.parameters)}
    types = get_type_hints(type(node.parameters))

    def changed(changes: list[Parameter]) -> P:
        new = {change.name: change.value for change in changes if change.name in fields}
        for name, value in new.items():
            _check(fields[name], types[name], value)
        return dataclasses.replace(node.parameters, **new)  # paths are read-only

    def validate(changes: list[Parameter]) -> SetParametersResult:
        try:
            accepted = changed(changes)
        except VimaError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if not after_all:
            node.parameters = accepted
        return SetParametersResult(successful=True)

    def replace(changes: list[Parameter]) -> None:
        node.parameters = changed(changes)

    def convert_integers(changes: list[Parameter]) -> list[Parameter]:
        return [_with_floats(c, types[c.name]) if c.name in types else c for c in changes]

    # Humble calls neither before nor after: there a callback of rclpy's may still refuse changes
    # that were set together with use_sim_time.
    after_all = hasattr(node, "add_post_set_parameters_callback")
    if after_all:
        node.add_pre_set_parameters_callback(convert_integers)
        node.add_post_set_parameters_callback(replace)
    node.add_on_set_parameters_callback(validate)
