"""Demonstrations recorded on the machines of a Ray cluster.

Ray is optional (requirements/cluster.txt). Its workers need this package, and no folder in common:
they send their shards here, where they are written.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from vima_ros.errors import VimaError
from vima_ros.files import write_atomic
from vima_ros.training.data.collect import ShardJob, record_shard

_JOBS_PER_CORE = 2  # under way at a time: the cluster never waits, and memory does not fill


def cluster_shards(jobs: Iterable[ShardJob], address: str) -> Iterator[tuple[ShardJob, list[str]]]:
    """Write the shard of each job; yield the job and its failed seeds with reasons.

    ``address``: of the cluster, "auto" for the running one, "local" for a new one on this machine.
    Raises VimaError: NOT_INSTALLED, NO_CLUSTER, CANNOT_WRITE.
    """
    ray = _import_ray()
    try:
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise VimaError(
            "NO_CLUSTER",
            f"no Ray cluster at {address!r} ({error}); valid: HOST:PORT, auto for a running one "
            "(ray start --head), or local",
        ) from error
    try:
        yield from _shards(ray, jobs)
    finally:
        ray.shutdown()


def shard_bytes(job: ShardJob) -> tuple[bytes, list[str]]:
    """Record a job; return its file's content and the failed seeds with reasons."""
    with tempfile.TemporaryDirectory() as folder:
        here = replace(job, plan=replace(job.plan, out=Path(folder)))
        failures = record_shard(here)
        return here.path.read_bytes(), failures


def _shards(ray: Any, jobs: Iterable[ShardJob]) -> Iterator[tuple[ShardJob, list[str]]]:
    remote, waiting = ray.remote(num_cpus=1)(shard_bytes), iter(jobs)
    most = _JOBS_PER_CORE * max(int(ray.cluster_resources().get("CPU", 1)), 1)
    pending = {remote.remote(job): job for job in islice(waiting, most)}
    while pending:
        (done,), _ = ray.wait(list(pending), num_returns=1)
        job = pending.pop(done)
        content, failures = ray.get(done)
        job.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(job.path, content)
        pending |= {remote.remote(job): job for job in islice(waiting, 1)}
        yield job, failures


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise VimaError(
            "NOT_INSTALLED",
            f"{error}; pip install -r requirements/cluster.txt, here and on the cluster",
        ) from error
    return ray
