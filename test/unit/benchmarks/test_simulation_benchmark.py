import pytest

from vima_ros.benchmarks.simulation import episode_rates, render_rate


@pytest.mark.slow
def test_rates_are_of_whole_episodes():
    (rate,) = episode_rates(["rearrange_then_restore"], range(2))
    assert rate.task == "rearrange_then_restore"
    assert 2 <= rate.actions <= 6
    assert 2.0 * rate.unrendered > rate.rendered > 0.1  # twice: the machine may be busy


@pytest.mark.slow
def test_images_are_faster_than_new_scenes():
    rate = render_rate("rotate")
    assert min(rate.rgb, rate.mask) > 1.0 / rate.start > 1.0
