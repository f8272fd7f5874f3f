import pytest

from vima_ros.cli.evaluate_policy import parse
from vima_ros.cli.evaluation_options import make_jobs
from vima_ros.policy import load_policy


@pytest.mark.parametrize("pick", ["", "bins", "grounded"])
def test_every_job_has_the_pick_that_was_asked_for(pick, tmp_path):
    words = ["--pick", pick] if pick else []
    options = parse([*words, "--tasks", "rotate", "--seeds", "2", "--out", str(tmp_path)])
    jobs = make_jobs(options, load_policy("random"))
    assert [job.pick for job in jobs] == [pick] * 4


def test_another_pick_is_refused_and_the_valid_ones_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        parse(["--pick", "middle", "--out", str(tmp_path)])
    assert "'middle' (choose from" in (said := capsys.readouterr().err)
    assert "bins" in said
    assert "grounded" in said
