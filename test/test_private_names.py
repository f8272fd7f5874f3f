"""Tests use what is public: an object's private attributes may change without any test."""

import ast
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ALLOWED = {  # names of other libraries that offer no public way
    "_actions": "argparse: options of a parser",
    "_SubParsersAction": "argparse: parsers of subcommands",
    "_get_value": "argparse: conversion of one option's text",
}


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name not in ALLOWED


def private_uses(source):
    """Lines and names of attributes, imports and patched names that are private to others."""
    own = {"self", "cls", "super()"}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if ast.unparse(node.value) not in own:
                yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, a.name) for a in node.names if is_private(a.name))
        elif isinstance(node, ast.Call) and "attr" in ast.unparse(node.func).rsplit(".", 1)[-1]:
            for word in node.args:  # setattr, getattr, hasattr, delattr; of monkeypatch, too
                if isinstance(word, ast.Constant) and isinstance(word.value, str):
                    names = word.value.split(".")
                    yield from ((node.lineno, name) for name in names if is_private(name))


@pytest.mark.parametrize(
    "line",
    [
        "node._worker.close()",
        "from vima_ros.paths import _folder",
        'monkeypatch.setattr(module, "_now", None)',
        'monkeypatch.setattr("vima_ros.paths._folder", None)',
        'getattr(node, "_worker")',
    ],
)
def test_a_private_name_of_another_object_is_found(line):
    assert len(list(private_uses(line))) == 1


def test_no_test_uses_private_names_of_what_it_tests():
    uses = [
        f"{path.relative_to(FOLDER)}:{line}: {name}"
        for path in sorted(FOLDER.rglob("*.py"))
        for line, name in private_uses(path.read_text())
    ]
    assert uses == []
