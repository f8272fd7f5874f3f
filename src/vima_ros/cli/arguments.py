"""Parser of the programs' command lines."""

from __future__ import annotations

import argparse
from typing import Any


class ArgumentParser(argparse.ArgumentParser):
    """Parser that accepts no abbreviated options: a new one would make them ambiguous.

    Parsers of its commands are of this class too.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)
