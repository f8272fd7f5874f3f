"""`convert_checkpoint`: conversion between published checkpoints and this suite's form."""

from __future__ import annotations

import argparse

from vima_ros.cli.arguments import ArgumentParser
from vima_ros.errors import VimaError
from vima_ros.paths import path_argument
from vima_ros.program import run_program

OWN, PUBLISHED = ".safetensors", ".ckpt"


def parse(args: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(prog="convert_checkpoint", description=__doc__)
    own = f"NAME{OWN}, with NAME.json beside it"
    parser.add_argument("source", type=path_argument, help=f"Published checkpoint, or {own}")
    parser.add_argument(
        "target", type=path_argument, help=f"File to write: the other of {own} and NAME{PUBLISHED}"
    )
    missing = "if a published file lacks it and it is not the published model's"
    parser.add_argument(
        "--vit-heads",
        type=int,
        metavar="N",
        help=f"Number of attention heads of the crop encoder, {missing}",
    )
    parser.add_argument(
        "--t5-max-distance",
        type=int,
        metavar="N",
        help=f"Maximum relative position of the prompt encoder [tokens], {missing}",
    )
    parser.add_argument(
        "--force", action="store_true", help="Permission to overwrite existing files"
    )
    options = parser.parse_args(args)
    if options.target.suffix not in (OWN, PUBLISHED):
        parser.error(f"{options.target} does not end in {OWN} or {PUBLISHED}")
    if (options.source.suffix == OWN) == (options.target.suffix == OWN):
        parser.error(f"source and target have the same form; valid: one ends in {OWN}")
    return options


def convert(options: argparse.Namespace) -> None:
    """Load, write, and print the start of a model card. Raises VimaError."""
    source, target = options.source, options.target
    written = [target, target.with_suffix(".json")] if target.suffix == OWN else [target]
    if there := [path.name for path in written if path.exists() and not options.force]:
        raise VimaError("FILE_EXISTS", f"{', '.join(there)} would be overwritten; valid: --force")
    # Here, because importing torch takes seconds.
    from vima_ros.policy.checkpoints.load import load_network
    from vima_ros.policy.checkpoints.published import save_checkpoint
    from vima_ros.policy.checkpoints.safetensors import save_weights

    sizes = {"vit_heads": options.vit_heads, "t5_max_distance": options.t5_max_distance}
    overrides = {name: value for name, value in sizes.items() if value is not None}
    network, origin = load_network(source, overrides)
    if target.suffix == OWN:
        came_from = {"file": source.name, "sha256": origin["sha256"]}
        card = {"source": came_from, "tokenizer": origin["card"]["tokenizer"]}
        sha256 = save_weights(network, target, card)
    else:
        sha256 = save_checkpoint(network, target)
    for name in ("name", "parameters", "controller_parameters"):
        print(f"{name}: {origin['card'][name]}")
    for name, value in vars(network.config).items():
        print(f"config.{name}: {value}")
    print(f"from: {source} (sha256 {origin['sha256']})")
    print(f"to: {target} (sha256 {sha256})")
    if target.suffix != OWN:
        print(f"the card stays in {source.with_suffix('.json')}: {PUBLISHED} has no place for it")


def main(args: list[str]) -> None:
    """``ros2 run vima_ros convert_checkpoint``."""
    convert(parse(args))


if __name__ == "__main__":
    run_program(lambda: main)
