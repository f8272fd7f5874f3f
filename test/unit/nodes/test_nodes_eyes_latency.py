"""Median and 99th percentile by stage."""

from vima_ros.nodes.eyes_latency import KEPT, Latencies


def test_stages_keep_their_order_and_tell_median_and_p99():
    latencies = Latencies()
    for millisecond in range(101):
        latencies.add({"decode": 1e-3 * millisecond, "detect": 0.02})
    assert latencies.summary() == {
        "decode [ms]": "median 50.0, p99 99.0",
        "detect [ms]": "median 20.0, p99 20.0",
    }


def test_only_the_last_runs_count():
    latencies = Latencies()
    for seconds in [9.0] * 10 + [0.001] * KEPT:
        latencies.add({"view": seconds})
    assert latencies.summary() == {"view [ms]": "median 1.0, p99 1.0"}
    latencies.clear()
    assert latencies.summary() == {}
