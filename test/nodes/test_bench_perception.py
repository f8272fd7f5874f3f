"""The perception part of `bench`, with the real node: short, and without the baseline."""

import pytest

from vima_ros.cli.bench import perception_latency
from vima_ros.cli.bench.perception_latency import PerceptionPlan


@pytest.mark.slow
def test_observations_are_timed_from_the_shutter(monkeypatch, tmp_path):
    monkeypatch.setattr(perception_latency, "CAMERA_TIME", 1.0)
    plan = PerceptionPlan(
        "plain_background", pairs=6, turns=2, baseline_python=str(tmp_path / "nobody")
    )
    results = perception_latency.run(plan, print)
    answers = results["one_by_one"]
    assert len(answers["latencies"]) + answers["lost"] == 6
    assert len(answers["latencies"]) >= 4  # best effort may lose one
    assert all(0.0 < latency < 5.0 for latency in answers["latencies"])
    assert min(answers["objects"]) >= 2
    assert results["steadily"]["latencies"]
    assert {"decode", "detect", "total"} <= results["stages"].keys()
    page = "\n".join(perception_latency.show(results))
    assert "NOT compared with a baseline" in page
    assert "What bounds it" in page
