import importlib.util
import sys

import pytest

from vima_ros.cli.demonstrate import make_plan, parse
from vima_ros.errors import VimaError
from vima_ros.training.data.cluster import shard_bytes
from vima_ros.training.data.collect import CollectionPlan, ShardJob, collect, record_shard

with_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="ray (requirements/cluster.txt) is missing"
)


def files(out):
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*.npz")}


def test_without_ray_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    arguments = ["--episodes", "1", "--tasks", "rotate", "--out", str(tmp_path), "--cluster"]
    plan = make_plan(parse(arguments))
    assert plan.cluster == "auto"
    with pytest.raises(VimaError, match=r"requirements/cluster\.txt") as caught:
        list(collect(plan))
    assert caught.value.code == "NOT_INSTALLED"


@pytest.mark.slow
def test_a_shard_has_the_same_bytes_wherever_it_is_recorded(tmp_path):
    job = ShardJob(CollectionPlan(tmp_path, ("rotate",), 2), "rotate", range(2))
    content, failures = shard_bytes(job)
    assert not files(tmp_path)
    assert record_shard(job) == failures
    assert job.path.read_bytes() == content


@with_ray
@pytest.mark.slow
def test_a_cluster_writes_the_shards_of_the_local_pool(tmp_path):
    for name, cluster in (("here", None), ("there", "local")):
        plan = CollectionPlan(tmp_path / name, ("rotate",), 3, cluster=cluster)
        *_, last = collect(plan)
        assert (last.done, last.failed) == (3, 0)
    assert files(tmp_path / "here") == files(tmp_path / "there")
