"""`resume`: let the arm move again after a stop."""

from __future__ import annotations

from vima_ros.cli.stop import call_arm


def main(args: list[str]) -> None:
    """Run the program ``resume``."""
    call_arm("resume", __doc__, args)
