"""`stop`: stop the arm where it is, until `resume`."""

from __future__ import annotations

import argparse

from std_srvs.srv import Trigger

from vima_ros.cli.arguments import ArgumentParser
from vima_ros.client.client import Client
from vima_ros.nodes.common.namespaces import add_namespace_option
from vima_ros.program import without_ros_args


def parse(
    args: list[str], service: str = "stop", description: str | None = __doc__
) -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(prog=service, description=description)
    add_namespace_option(parser, "Namespace of the arm node")
    return parser.parse_args(args)


def call_arm(service: str, description: str | None, args: list[str]) -> None:
    """Call a service of the arm node and print its response. Raises WaitTimeoutError."""
    options = parse(without_ros_args(args), service, description)
    with Client(service, options.namespace) as client:
        print(client.call(Trigger, service, Trigger.Request()).message)


def main(args: list[str]) -> None:
    """Run the program ``stop``."""
    call_arm("stop", __doc__, args)
