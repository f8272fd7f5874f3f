"""`bench`: speed of perception, policy, simulation, the arm's planning and transport."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from vima_ros.benchmarks import simulation
from vima_ros.benchmarks.policy import plan as planning
from vima_ros.benchmarks.policy.tables import describe, tables
from vima_ros.cli.arguments import ArgumentParser
from vima_ros.cli.bench import dds_transport, episode_latency, perception_latency
from vima_ros.files import prepare_folder, write_atomic, write_json
from vima_ros.paths import path_argument, path_text_argument
from vima_ros.perception.detectors.registry import DETECTORS, DetectorSettings, make_detector
from vima_ros.policy.config import PUBLISHED
from vima_ros.program import run_program, without_ros_args
from vima_ros.tables import format_table


def _parser() -> argparse.ArgumentParser:
    plan = planning.BenchmarkPlan()
    parser = ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "part",
        nargs="?",
        choices=("perception", "policy", "simulation", "transport", "episode"),
        help="Part to run; default: all",
    )
    parser.add_argument(
        "--out", type=path_argument, default=Path("out"), help="Folder of bench.md and bench.json"
    )
    group = parser.add_argument_group("policy")
    choices = (planning.BUNDLED_SIZE, *PUBLISHED)
    group.add_argument(
        "--sizes", default=",".join(plan.sizes), help=f"Sizes: {', '.join(choices)}"
    )
    group.add_argument("--dtypes", help="Number formats; default: all of the device")
    group.add_argument(
        "--device", default=plan.device, choices=tuple(planning.DTYPES), help="Device"
    )
    group.add_argument(
        "--threads", type=int, default=plan.threads, help="Number of threads; 0: PyTorch's default"
    )
    group.add_argument("--repeat", type=int, default=plan.repeat, help="Number of turns")
    group.add_argument(
        "--agreement-size",
        default=plan.agreement_size,
        help="Size whose number formats are compared",
    )
    perception = perception_latency.PerceptionPlan()
    parser.add_argument(
        "--decisions", type=int, default=200, help="Number of decisions of the part episode"
    )
    group = parser.add_argument_group("perception")
    group.add_argument(
        "--detector", default=perception.detector, choices=sorted(DETECTORS), help="Detector"
    )
    group.add_argument(
        "--weights",
        type=path_text_argument,
        default=perception.weights,
        help="Weights file; empty: the detector's own",
    )
    group.add_argument("--pairs", type=int, default=perception.pairs, help="Number of image pairs")
    group.add_argument(
        "--baseline-python",
        type=path_text_argument,
        default="",
        help="Python with torchvision, for the baseline",
    )
    return parser


def _plan(options: argparse.Namespace) -> planning.BenchmarkPlan:
    dtypes = options.dtypes.split(",") if options.dtypes else planning.DTYPES[options.device]
    return planning.BenchmarkPlan(
        sizes=options.sizes.split(","),
        dtypes=dtypes,
        device=options.device,
        threads=options.threads,
        repeat=options.repeat,
        agreement_size=options.agreement_size,
    )


def _perception_plan(options: argparse.Namespace) -> perception_latency.PerceptionPlan:
    return perception_latency.PerceptionPlan(
        detector=options.detector,
        weights=str(Path(options.weights).resolve()) if options.weights else "",
        pairs=options.pairs,
        baseline_python=options.baseline_python,
    )


def _progress(what: str) -> None:
    print(f"bench: {what} …", file=sys.stderr, flush=True)


def main(args: list[str]) -> None:
    """``ros2 run vima_ros bench``."""
    options = _parser().parse_args(without_ros_args(args))
    results: dict[str, Any] = {}
    page = ["# Benchmark"]
    prepare_folder(options.out)
    plan = _plan(options)
    if options.part in (None, "perception"):
        make_detector(options.detector, DetectorSettings(weights=options.weights))  # valid?
        results["perception"] = perception_latency.run(_perception_plan(options), _progress)
        page += ["## Perception", *perception_latency.show(results["perception"])]
    if options.part in (None, "policy"):
        results["policy"] = planning.run(plan, _progress)
        page += ["## Policy", describe(results["policy"])]
        for table in tables(results["policy"]):
            page += [f"### {table.title}", format_table(table.headings, table.rows)]
    if options.part in (None, "simulation"):
        _progress("simulation")
        results["simulation"] = simulation.run()
        page += ["## Simulation", *simulation.show(results["simulation"])]
    if options.part in (None, "transport"):
        _progress("transport")
        results["transport"] = dds_transport.run()
        page += ["## Transport", *dds_transport.show(results["transport"])]
    if options.part in (None, "episode"):
        results["episode"] = episode_latency.run(options.decisions, options.out, _progress)
        page += ["## Episode", *episode_latency.show(results["episode"])]
    text = "\n\n".join(page) + "\n"
    print(text)
    write_atomic(options.out / "bench.md", text.encode())
    write_json(options.out / "bench.json", results)


if __name__ == "__main__":
    run_program(lambda: main)
