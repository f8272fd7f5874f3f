"""Namespace of a suite: ``right``, ``/right`` and ``right/`` are one and the same."""

from __future__ import annotations

import argparse
import re

from vima_ros.errors import VimaError

NAMESPACE = "/vima"  # unless another is chosen
MAX_LENGTH = 245  # of an absolute namespace, rmw/validate_namespace.h [characters]
VALID = (
    "words of ASCII letters, digits and _ that begin with no digit, joined by /, at most "
    f"{MAX_LENGTH} characters, such as right or /cell/right"
)
_SPELLING = re.compile(r"/|/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*/?|", re.ASCII)


def absolute_namespace(text: str) -> str:
    """Return the absolute ROS namespace, such as ``/right``, of ``text``; ``/`` for nothing.

    Raises VimaError (BAD_NAMESPACE) for names that ROS does not accept.
    """
    namespace = "/" + text.strip("/")
    if not _SPELLING.fullmatch(text) or len(namespace) > MAX_LENGTH:
        raise VimaError("BAD_NAMESPACE", f"namespace {text!r}; valid: {VALID}")
    return namespace


def add_namespace_option(
    parser: argparse.ArgumentParser,
    description: str = "Namespace of the nodes",
    default: str = NAMESPACE,
) -> None:
    """Add the option ``--namespace``; the parsed value is absolute.

    ``default``: argparse.SUPPRESS for a command of a program that has the option too.
    """

    def parse(text: str) -> str:
        try:
            return absolute_namespace(text)
        except VimaError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    parser.add_argument(
        "--namespace", type=parse, default=default, help=f"{description}; default: {NAMESPACE}"
    )
