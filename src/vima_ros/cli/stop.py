"""`stop`: stop the arm where it is, until `resume`."""

from __future__ import annotations

import argparse
import sys

from rclpy.utilities import remove_ros_args
from std_srvs.srv import Trigger

from vima_ros.client.client import Client
from vima_ros.errors import VimaError
from vima_ros.nodes.common.namespaces import add_namespace_option


def _arguments(
    args: list[str], service: str = "stop", description: str | None = __doc__
) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=service, description=description)
    add_namespace_option(parser, "Namespace of the arm node")
    return parser.parse_args(args)


def call_arm(service: str, description: str | None, args: list[str] | None) -> None:
    """Call a service of the arm node and print its response; exit code 2 where there is none."""
    options = _arguments(remove_ros_args(args or sys.argv)[1:], service, description)
    try:
        with Client(service, options.namespace) as client:
            print(client.call(Trigger, service, Trigger.Request()).message)
    except VimaError as error:
        print(f"{service}: {error.code}: {error}", file=sys.stderr)
        sys.exit(2)


def main(args: list[str] | None = None) -> None:
    """Run the program ``stop``."""
    call_arm("stop", __doc__, args)
