import pytest

from vima_ros.nodes.common.diagnostics import KEPT, Meter


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_what_never_happened_is_not_told():
    assert Meter().values() == {}


def test_stages_are_told_in_order_with_median_and_99th_percentile():
    meter = Meter(Clock())
    for i in range(101):
        meter.worked({"wait": i / 1000, "total": 0.5})
    told = meter.values()["latency"]
    assert list(told) == ["wait [ms]", "total [ms]"]
    assert told["wait [ms]"] == "median 50.0, p99 99.0"


def test_only_the_last_runs_count():
    meter = Meter(Clock())
    for seconds in [9.0] * KEPT + [0.001] * KEPT:
        meter.worked({"total": seconds})
    assert meter.values()["latency"]["total [ms]"] == "median 1.0, p99 1.0"


def test_rate_counts_the_last_ten_seconds_and_age_the_last_result():
    clock = Clock()
    meter = Meter(clock)
    for _ in range(40):
        clock.now += 0.5
        meter.worked({})
    assert meter.values()["rate [Hz]"] == pytest.approx(2.0, abs=0.11)
    clock.now += 7.0
    assert meter.values()["age [s]"] == 7.0
    assert meter.values()["rate [Hz]"] == pytest.approx(0.7, abs=0.11)


def test_the_last_refusal_stays_with_its_age():
    clock = Clock()
    meter = Meter(clock)
    meter.refused("STALE", "too old")
    meter.refused("BUSY", "c1 is under way")
    clock.now += 12
    assert meter.values() == {"last refusal": "BUSY: c1 is under way (12 s ago)"}


def test_cleared_it_tells_nothing():
    meter = Meter(Clock())
    meter.worked({"total": 1.0})
    meter.refused("A", "b")
    meter.clear()
    assert meter.values() == {}
