"""What is typed after `assets capture` becomes that request, or none."""

import pytest

pytest.importorskip("vima_msgs", reason="vima_msgs is not built: run `make test`")

from vima_ros.cli.assets import Request, make_request, parse
from vima_ros.errors import VimaError


def request(*how):
    return make_request(parse(["capture", "name", *how]))


def test_what_is_typed_is_what_is_asked_for():
    by_id, by_pixel = request("--id", "4294967295"), request("--pixel", "front,120,60")
    assert (by_id.select, by_id.track_id) == (Request.BY_TRACK_ID, 2**32 - 1)
    assert (by_pixel.select, by_pixel.view) == (Request.BY_PIXEL, "front")
    assert by_pixel.pixel.tolist() == [120, 60]
    assert request("--box", "top,1,2,3,4").bbox.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "how",
    [
        ("--id", "-1"),
        ("--id", "4294967296"),
        ("--id", "one"),
        ("--pixel", "front"),
        ("--pixel", "front,1"),
        ("--pixel", "front,1,2,3"),
        ("--pixel", "front,65536,0"),
        ("--pixel", "front,-1,0"),
        ("--pixel", ""),
        ("--box", "top,1,2,3"),
        ("--box", "top,1,2,3,4.5"),
    ],
)
def test_numbers_that_a_message_would_turn_into_others_are_refused(how):
    with pytest.raises(VimaError) as caught:
        request(*how)
    assert caught.value.code == "BAD_CAPTURE"
    assert "valid:" in str(caught.value)


@pytest.mark.parametrize("how", [("--frames", "-1"), ("--interval", "-1"), ("--interval", "nan")])
def test_no_negative_number_of_frames_and_no_negative_wait(how):
    with pytest.raises(SystemExit) as ended:
        parse(["capture", "name", "--scene", *how])
    assert ended.value.code == 2


@pytest.mark.parametrize(
    "words",
    [["--namespace", "right", "list"], ["list", "--namespace", "right"]],
    ids=["before", "behind"],
)
def test_the_namespace_is_an_option_of_the_program_and_of_its_commands(words):
    assert parse(words).namespace == "/right"
    assert parse(["list"]).namespace == "/vima"
