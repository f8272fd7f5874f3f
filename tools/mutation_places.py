"""Places of a Python source where a mutation changes what it does, and the mutated sources.

Left out: docstrings, messages, logging, raised errors but for their codes, annotations, imports,
``__all__``, ``if TYPE_CHECKING``, decorators and assertions.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

KINDS = ("comparison", "arithmetic", "boolean", "constant", "branch", "return", "loop")
LOGGERS = {"debug", "info", "warning", "warn", "error", "fatal", "exception", "log", "print"}
CODE = re.compile(r"[\w./:+-]*")  # a string that programs read; a sentence has spaces
_COMMENT = re.compile(rb"#[^\n]*")
_COMPARISONS: dict[type[ast.cmpop], tuple[bytes, bytes]] = {
    ast.Lt: (rb"<", b"<="),
    ast.LtE: (rb"<=", b"<"),
    ast.Gt: (rb">", b">="),
    ast.GtE: (rb">=", b">"),
    ast.Eq: (rb"==", b"!="),
    ast.NotEq: (rb"!=", b"=="),
    ast.Is: (rb"\bis\b", b"is not"),
    ast.IsNot: (rb"\bis\s+not\b", b"is"),
    ast.In: (rb"\bin\b", b"not in"),
    ast.NotIn: (rb"\bnot\s+in\b", b"in"),
}
_ARITHMETIC: dict[type[ast.operator], tuple[bytes, bytes]] = {
    ast.Add: (rb"\+", b"-"),
    ast.Sub: (rb"-", b"+"),
    ast.Mult: (rb"\*", b"/"),
    ast.Div: (rb"/", b"*"),
    ast.FloorDiv: (rb"//", b"*"),
    ast.Mod: (rb"%", b"*"),
    ast.Pow: (rb"\*\*", b"*"),
    ast.BitOr: (rb"\|", b"&"),
    ast.BitAnd: (rb"&", b"|"),
    ast.BitXor: (rb"\^", b"&"),
    ast.LShift: (rb"<<", b">>"),
    ast.RShift: (rb">>", b"<<"),
}


@dataclass(frozen=True)
class Place:
    """Bytes ``start`` to ``end`` of a source, and what a mutation may write there."""

    kind: str
    line: int  # from 1
    start: int
    end: int
    replacements: tuple[bytes, ...]

    def mutate(self, source: bytes, rng: random.Random) -> bytes:
        """Return the source with one of the replacements."""
        return source[: self.start] + rng.choice(self.replacements) + source[self.end :]


def find_places(source: bytes) -> list[Place]:
    """Return the places of a source in its order."""
    places = _Finder(source).places(ast.parse(source))
    return sorted(places, key=lambda place: (place.start, -place.end, place.kind))


class _Finder:
    def __init__(self, source: bytes) -> None:
        self.source = source
        lengths = [len(line) for line in source.splitlines(keepends=True)]
        self.line_starts = [sum(lengths[:i]) for i in range(len(lengths) + 1)]

    def places(self, node: ast.AST) -> Iterator[Place]:
        """Yield the places of a node and of what it contains."""
        if _is_left_out(node):
            return
        yield from self._own(node)
        for child in _children(node):
            yield from self.places(child)

    def _own(self, node: ast.AST) -> Iterator[Place]:
        if isinstance(node, ast.Compare):
            terms = [node.left, *node.comparators]
            for left, op, right in zip(terms, node.ops, terms[1:], strict=False):
                yield self._operator("comparison", left, right, *_COMPARISONS[type(op)])
        elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            if not (_is_text(node.left) or _is_text(node.right)):
                operator = _ARITHMETIC[type(node.op)]
                yield self._operator("arithmetic", node.left, node.right, *operator)
        elif isinstance(node, ast.AugAssign) and type(node.op) in _ARITHMETIC:
            if not _is_text(node.value):
                pattern, other = _ARITHMETIC[type(node.op)]
                yield self._operator(
                    "arithmetic", node.target, node.value, pattern + rb"=", other + b"="
                )
        elif isinstance(node, ast.BoolOp):
            word, other = (b"and", b"or") if isinstance(node.op, ast.And) else (b"or", b"and")
            for left, right in zip(node.values, node.values[1:], strict=False):
                yield self._operator("boolean", left, right, rb"\b" + word + rb"\b", other)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
            kind = "boolean" if isinstance(node.op, ast.Not) else "arithmetic"
            start, end = self._span(node.operand)
            opened = self.source[self._span(node)[0] : start].count(b"(")
            operand = b"(" * opened + self.source[start:end]
            yield Place(kind, node.lineno, self._span(node)[0], end, (operand,))
        elif isinstance(node, ast.Constant):
            replacements = _other_constants(node.value)
            if replacements:
                yield Place("constant", node.lineno, *self._span(node), replacements)
        elif isinstance(node, ast.If | ast.While | ast.IfExp):
            yield self._negation(node.test)
        elif isinstance(node, ast.comprehension):
            yield from map(self._negation, node.ifs)
        elif isinstance(node, ast.Return) and node.value is not None:
            if not (isinstance(node.value, ast.Constant) and node.value.value is None):
                yield Place("return", node.lineno, *self._span(node), (b"return None",))
        elif isinstance(node, ast.Break | ast.Continue):
            other = b"continue" if isinstance(node, ast.Break) else b"break"
            yield Place("loop", node.lineno, *self._span(node), (other,))

    def _negation(self, test: ast.expr) -> Place:
        start, end = self._span(test)
        negated = b"(not (" + self.source[start:end] + b"))"
        return Place("branch", test.lineno, start, end, (negated,))

    def _operator(
        self, kind: str, left: ast.AST, right: ast.AST, pattern: bytes, other: bytes
    ) -> Place:
        start, end = self._span(left)[1], self._span(right)[0]
        blanked = _COMMENT.sub(lambda c: b" " * len(c.group()), self.source[start:end])
        found = re.search(pattern, blanked)
        assert found is not None, (self.source[start:end], pattern)
        line = self.source[: start + found.start()].count(b"\n") + 1
        return Place(kind, line, start + found.start(), start + found.end(), (other,))

    def _span(self, node: ast.AST) -> tuple[int, int]:
        """Return where a node begins and ends; columns of a syntax tree count bytes."""
        start = self.line_starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        end = self.line_starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        return start, end


def _is_left_out(node: ast.AST) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Assert | ast.JoinedStr):
        return True
    if isinstance(node, ast.Expr):
        value = node.value
        called = value.func if isinstance(value, ast.Call) else None
        logs = isinstance(called, ast.Attribute | ast.Name) and _last_name(called) in LOGGERS
        return logs or isinstance(value, ast.Constant)
    if isinstance(node, ast.Assign):
        return any(isinstance(name, ast.Name) and name.id == "__all__" for name in node.targets)
    return isinstance(node, ast.If) and _last_name(node.test) == "TYPE_CHECKING"


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a node contains but annotations, decorators and the wording of errors."""
    if isinstance(node, ast.Raise):
        error = node.exc
        arguments = error.args if isinstance(error, ast.Call) else []
        yield from (arg for arg in arguments[:1] if _is_text(arg) and _is_code(arg))
        return
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list", "type_comment"):
            yield from (
                item
                for item in (value if isinstance(value, list) else [value])
                if isinstance(item, ast.AST)
            )


def _last_name(node: ast.AST) -> str:
    return str(getattr(node, "attr", getattr(node, "id", "")))


def _is_text(node: ast.AST) -> bool:
    constant = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return constant or isinstance(node, ast.JoinedStr)


def _is_code(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and bool(CODE.fullmatch(str(node.value)))


def _other_constants(value: object) -> tuple[bytes, ...]:
    if isinstance(value, bool):
        return (str(not value).encode(),)
    if isinstance(value, int | float):
        changed = {value + 1, value - 1, value * 2} - {value}
        return tuple(f"({number!r})".encode() for number in sorted(changed))
    if isinstance(value, str) and CODE.fullmatch(value):
        return (repr(value + "_mutated").encode(),)
    return ()
