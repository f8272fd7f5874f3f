import pytest

from vima_ros.nodes.common.diagnostics import MAX_SAMPLES, PerformanceStatistics


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_what_never_happened_is_not_told():
    assert PerformanceStatistics().values() == {}


def test_stages_are_told_in_order_with_median_and_99th_percentile():
    statistics = PerformanceStatistics(Clock())
    for i in range(101):
        statistics.record_result({"wait": i / 1000, "total": 0.5})
    values = statistics.values()
    figures = ["wait.median [ms]", "wait.p99 [ms]", "total.median [ms]", "total.p99 [ms]"]
    assert [key for key in values if "latency" in key] == [f"latency.{f}" for f in figures]
    assert values["latency.wait.median [ms]"] == "50.0"
    assert values["latency.wait.p99 [ms]"] == "99.0"


def test_only_the_last_runs_count():
    statistics = PerformanceStatistics(Clock())
    for seconds in [9.0] * MAX_SAMPLES + [0.001] * MAX_SAMPLES:
        statistics.record_result({"total": seconds})
    assert statistics.values()["latency.total.median [ms]"] == "1.0"
    assert statistics.values()["latency.total.p99 [ms]"] == "1.0"


def test_rate_counts_the_last_ten_seconds_and_age_the_last_result():
    clock = Clock()
    statistics = PerformanceStatistics(clock)
    for _ in range(40):
        clock.now += 0.5
        statistics.record_result({})
    assert statistics.values()["rate [Hz]"] == pytest.approx(2.0, abs=0.11)
    clock.now += 7.0
    assert statistics.values()["age [s]"] == 7.0
    assert statistics.values()["rate [Hz]"] == pytest.approx(0.7, abs=0.11)


def test_the_last_refusal_stays_with_its_age():
    clock = Clock()
    statistics = PerformanceStatistics(clock)
    statistics.record_refusal("STALE", "too old")
    statistics.record_refusal("BUSY", "c1 is under way")
    clock.now += 12
    refusal = {"code": "BUSY", "message": "c1 is under way", "age [s]": 12}
    assert statistics.values() == {"last refusal": refusal}


def test_cleared_it_tells_nothing():
    statistics = PerformanceStatistics(Clock())
    statistics.record_result({"total": 1.0})
    statistics.record_refusal("A", "b")
    statistics.clear()
    assert statistics.values() == {}
