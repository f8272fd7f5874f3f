"""Paths: a leading ``~`` in those that users give, and the folder of our configuration files.

A shell expands ``~`` in few places: not in ``params_file:=~/x.yaml``, a YAML file, or quotes.
Every path from outside goes through here.
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path

from vima_ros.errors import VimaError


def config_path(name: str) -> Path:
    """Return the path of a file in our ``config/``, of the installation or of the source tree.

    Raises VimaError (NOT_INSTALLED).
    """
    return config_folder(Path(__file__).resolve()) / name


@cache
def config_folder(module: Path) -> Path:
    """Folder ``config`` of the installation or source tree that holds the file ``module``."""
    for parent in module.parents:
        installed = parent / "share" / "vima_ros" / "config"
        if installed.is_dir():
            return installed
        if (parent / "package.xml").is_file() and (parent / "config").is_dir():
            return parent / "config"
    raise VimaError(
        "NOT_INSTALLED",
        f"no configuration files above {module.parent}; valid: a folder above it with "
        "share/vima_ros/config, as an installation has, or with package.xml and config/",
    )


def expand(path: Path | str) -> Path:
    """Replace a leading ``~`` or ``~USER`` of a path by the home folder.

    Raises VimaError (BAD_PATH) where there is no such user, or no home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        start = Path(path).parts[0]
        raise VimaError(
            "BAD_PATH",
            f"path {str(path)!r}: no home folder is known for {start}; valid: ~ or ~USER of this "
            f"machine, a path without them, or ./{start} for a file of that name",
        ) from error


def expand_text(path: str) -> str:
    """Expand a text as ``expand`` does; it may be empty or something other than a path."""
    return str(expand(path)) if path.startswith("~") else path


def path_argument(text: str) -> Path:
    """Convert an argparse argument to a path, never an empty one (use as its ``type``)."""
    if not text.strip():  # Path takes it for the current folder
        raise argparse.ArgumentTypeError("path is empty; valid: a path, . for the current folder")
    try:
        return expand(text)
    except VimaError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def path_text_argument(text: str) -> str:
    """Convert an argument as ``path_argument`` does; it may be empty or other than a path."""
    try:
        return expand_text(text)
    except VimaError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
