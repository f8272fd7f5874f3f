"""The perception node alone, with played cameras: pairs, refusals, reports."""

import re

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from helpers import ROOT
from played_cameras import MILLISECOND, Perception, PlayedCameras, image, table
from sensor_msgs.msg import CameraInfo, Image

from vima_msgs.msg import PerceptionStatus
from vima_msgs.srv import GetScene
from vima_ros.nodes.common import conversions, image_conversion, qos

SOURCES = ROOT / "src" / "vima_ros"
PIPELINE = [
    *(SOURCES / "perception" / name for name in ("pipeline.py", "staleness.py")),
    *(SOURCES / "nodes" / "perception").glob("*pair*.py"),
    SOURCES / "nodes" / "common" / "image_conversion.py",
]
SECOND = 1000 * MILLISECOND
RNG = np.random.default_rng(3)


def noisy(blocks=2) -> Image:
    """As a camera sees it: never twice the same."""
    rgb = table(blocks=blocks)
    return image_conversion.encode(rgb + RNG.integers(0, 2, rgb.shape, np.uint8), "rgb8")


def scene_of(perception):
    return perception.client.call(GetScene, "get_scene", GetScene.Request())


@pytest.fixture(scope="module")
def perception(tmp_path_factory):
    # What these cameras show has no noise: the limit for those that have does not count.
    with Perception(tmp_path_factory.mktemp("logs"), "/eyes", frozen_timeout=0.3) as running:
        yield running
        running.nodes.check_alive()


@pytest.fixture(scope="module")
def cameras(perception):
    playing = PlayedCameras(perception.client)
    playing.wait_for_perception(image(width=256, height=128), image(width=256, height=128))
    return playing


def wait_for_code(cameras, code, **shown) -> PerceptionStatus:
    """The first status of ``code`` while pairs are shown as ``PlayedCameras.show`` takes them."""
    before = cameras.statuses.count

    def has_come():
        cameras.show(image(width=256, height=128), image(width=256, height=128), **shown)
        return any(m.code == code for m in cameras.statuses.since(before))

    cameras.client.wait_until(has_come, code)
    return next(m for m in cameras.statuses.since(before) if m.code == code)


def test_what_rests_before_cameras_without_noise_is_not_frozen(cameras):
    codes = {cameras.status_of(image(), image()).code for _ in range(10)}  # 0.1 s apart
    assert codes == {PerceptionStatus.OK}


def test_views_too_far_apart_are_no_pair(cameras):
    late = cameras.show(image(), image(), skew=30 * MILLISECOND)
    status = wait_for_code(cameras, PerceptionStatus.UNMATCHED_VIEWS, skew=30 * MILLISECOND)
    assert "0.02 s" in status.message
    # Frames of one topic arrive in order: once a later pair is through, the first never will be.
    good = cameras.show(image(), image())
    cameras.observations.wait(lambda m: m.header.stamp == good, 15, "observation")
    assert all(m.header.stamp != late for m in cameras.observations.messages)


def test_a_scene_that_cameras_no_longer_show_is_not_handed_out(cameras, perception):
    cameras.observation_of(image(), image())
    assert scene_of(perception).success
    silent = cameras.statuses.count
    told = cameras.statuses.wait(
        lambda m: m.code == PerceptionStatus.NO_FRAMES, 15, "NO_FRAMES", silent
    )
    assert "on /eyes/front/image_raw" in told.message
    assert "on /eyes/top/image_raw" in told.message
    scene = scene_of(perception)
    assert (scene.success, scene.code) == (False, told.code)
    assert scene.message


@pytest.mark.parametrize("stamp", [0, 5 * SECOND], ids=["zero", "frozen"])
def test_stamps_that_say_nothing_are_reported_by_topic(cameras, stamp):
    stamps = {"front": cameras.clock, "top": stamp}
    status = wait_for_code(cameras, PerceptionStatus.BAD_STAMPS, stamps=stamps)
    assert "on /eyes/top/image_raw" in status.message
    assert cameras.observation_of(image(), image())


def test_an_empty_table_is_a_refusal_with_a_reason(cameras):
    status = cameras.status_of(image(blocks=0), image(blocks=0))
    assert (status.code, status.front_count) == (PerceptionStatus.NO_OBJECT, 0)
    assert status.message


def test_of_a_burst_the_last_pair_is_always_perceived(cameras):
    small = image(width=256, height=128), image(width=256, height=128)
    for burst in (2, 5, 30):
        stamps = [cameras.show(*small) for _ in range(burst)]
        cameras.observations.wait(lambda m, s=stamps[-1]: m.header.stamp == s, 15, "observation")


def test_the_status_reports_objects_and_times(cameras):
    stamp = cameras.show(image(), image(blocks=1), skew=7 * MILLISECOND)
    seen = cameras.observations.wait(lambda m: m.header.stamp == stamp, 15, "observation")
    status = cameras.statuses.wait(lambda m: m.header.stamp == stamp, 15, "perception_status")
    assert (status.code, status.message, status.view) == (PerceptionStatus.OK, "", "")
    assert (status.backend, status.weights, status.warnings) == ("plain_background", "", [])
    assert status.front_stamp == seen.front.header.stamp == stamp
    assert status.top_stamp == seen.top.header.stamp != stamp
    assert seen.front.header.frame_id == "front_optical"
    assert [status.front_count, status.top_count, status.low_score_count] == [2, 1, 0]
    objects = [*seen.front.objects, *seen.top.objects]
    assert status.min_accepted_score == min(item.score for item in objects) > 0
    parts = [
        getattr(status, f"{part}_time") for part in ("decode", "transform", "detector", "crop")
    ]
    assert all(seconds > 0 for seconds in parts)
    assert status.detection_time == pytest.approx(sum(parts) + status.tracking_time, rel=1e-3)


def test_an_object_keeps_its_id_and_has_it_in_both_views(cameras):
    first, second = (cameras.observation_of(image(), image()) for _ in range(2))
    ids = [item.track_id for item in first.front.objects]
    assert len(set(ids)) == 2
    for seen in (first, second):
        assert [item.track_id for item in seen.front.objects] == ids
        assert [item.track_id for item in seen.top.objects] == ids


def test_latency_is_reported_by_stage(cameras):
    cameras.observation_of(image(), image())
    inbox = cameras.client.subscribe(DiagnosticArray, "/diagnostics")

    def ours(message):
        return any(s.name == "/eyes/perception: performance" for s in message.status)

    after = inbox.count
    inbox.wait(ours, 15, "/diagnostics of perception")
    statuses = inbox.wait(ours, 15, "more", after + 1).status
    (performance,) = (s for s in statuses if s.name == "/eyes/perception: performance")
    told = {v.key: v.value for v in performance.values}
    stages = [key for key in told if key.startswith("latency.")]
    assert stages == [
        f"latency.{stage}.{figure} [ms]"
        for stage in (
            "shutter to arrival",
            "pairing",
            "queue",
            "decode",
            "staleness",
            "view",
            "detect",
            "crops",
            "track",
            "handover",
            "publish",
            "total",
        )
        for figure in ("median", "p99")
    ]
    for median, p99 in zip(stages[::2], stages[1::2], strict=True):
        assert float(told[median]) <= float(told[p99])


def test_what_was_found_is_drawn_for_who_looks(cameras):
    drawn = cameras.client.subscribe(Image, "debug/top", qos.SENSOR_DATA)

    def is_drawn():
        cameras.show(image(), image())
        return drawn.count > 0

    cameras.client.wait_until(is_drawn, "debug/top")
    assert (drawn.messages[0].width, drawn.messages[0].height) == (768, 384)
    assert drawn.messages[0].header.frame_id == "top_optical"


def test_a_clock_that_jumps_back_is_followed(cameras):
    cameras.clock -= 3600 * 1000 * MILLISECOND
    before = cameras.observations.count

    def is_followed():
        cameras.show(image(), image())
        new = cameras.observations.since(before)
        return any(conversions.stamp_to_ns(m.header.stamp) <= cameras.clock for m in new)

    cameras.client.wait_until(is_followed, "an observation of that time")


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A node that looks for stale and frozen frames, generous to a slow machine."""
    rules = {"max_age": 60.0, "frozen_timeout": 0.5}
    with Perception(tmp_path_factory.mktemp("logs"), "/watchful", **rules) as running:
        playing = PlayedCameras(running.client)
        playing.wait_for_perception(noisy(), noisy())
        yield playing
        running.nodes.check_alive()


@pytest.mark.parametrize("view", ["front", "top"])
def test_a_frozen_view_is_refused_by_name_until_it_moves_again(watched, view):
    for _ in range(20):  # so that the noise of both is known
        assert watched.status_of(noisy(), noisy()).code == PerceptionStatus.OK
    still = noisy()
    codes = []
    for _ in range(8):  # 0.1 s apart
        pair = (still, noisy()) if view == "front" else (noisy(), still)
        status = watched.status_of(*pair)
        codes.append((status.code, status.view))
    assert codes == [("OK", "")] * 6 + [("FROZEN", view)] * 2
    assert f"{view} view: the same pixels for 0.7 s" in status.message
    assert watched.status_of(noisy(), noisy()).code == PerceptionStatus.OK


@pytest.mark.parametrize(("shift", "said"), [(-600, "s old"), (600, "s ahead of this clock")])
def test_stale_frames_are_refused(watched, shift, said):
    now = watched.clock
    watched.clock += shift * SECOND
    # A jump back by more than a pair may be late costs up to one pair.
    stale = [watched.show(noisy(), noisy()) for _ in range(2)][-1]
    status = watched.statuses.wait(lambda m: m.header.stamp == stale, 15, "perception_status")
    assert (status.code, status.view) == (PerceptionStatus.STALE, "")
    assert "front view: " in status.message
    assert "top view: " in status.message
    assert said in status.message
    assert abs(status.age + shift) < 60
    watched.clock = now
    good = [watched.show(noisy(), noisy()) for _ in range(2)][-1]
    watched.observations.wait(lambda m: m.header.stamp == good, 15, "observation")


def test_one_view_that_lags_is_no_pair_and_named(watched):
    status = wait_for_code(watched, PerceptionStatus.UNMATCHED_VIEWS, skew=-5 * SECOND)
    assert "front/image at" in status.message
    assert "top/image at" in status.message


def camera_info(distortion) -> CameraInfo:
    info = CameraInfo(width=640, height=480, distortion_model="plumb_bob")
    info.k = [500.0, 0.0, 319.5, 0.0, 500.0, 239.5, 0.0, 0.0, 1.0]
    info.d = [distortion, 0.0, 0.0, 0.0, 0.0]
    return info


def test_without_camera_info_nothing_is_undistorted_in_silence(tmp_path):
    with Perception(tmp_path, "/lens", undistort=True) as running:
        playing = PlayedCameras(running.client)
        playing.statuses.wait(lambda m: m.code == PerceptionStatus.NO_FRAMES, 15, "NO_FRAMES")
        assert "waiting for the cameras: front view: no frame" in running.nodes.log("perception")
        assert "[WARN]" not in running.nodes.log("perception"), "they may just be coming up"
        infos = {
            view: running.client.create_publisher(
                CameraInfo, f"{view}/camera_info", qos.SENSOR_DATA
            )
            for view in ("front", "top")
        }
        everyone = [*playing.publishers.values(), *infos.values()]
        running.client.wait_until(
            lambda: all(p.get_subscription_count() for p in everyone), "perception's subscriptions"
        )

        def refused():
            playing.show(image(), image())
            return playing.statuses.count > 0 and playing.statuses.messages[-1].view

        running.client.wait_until(refused, "a refusal")
        assert playing.statuses.messages[-1].code == PerceptionStatus.NO_CAMERA_INFO

        def is_seen_through(distortion):
            for publisher in infos.values():
                publisher.publish(camera_info(distortion))
            playing.show(image(), image())
            return playing.observations.count > 0

        running.client.wait_until(lambda: is_seen_through(0.0), "an observation")
        straight = playing.observations.messages[-1].front.objects[0].bbox.tolist()

        def is_bent():
            is_seen_through(-0.4)
            objects = playing.observations.messages[-1].front.objects
            return objects[0].bbox.tolist() != straight

        running.client.wait_until(is_bent, "undistorted images")


def test_every_code_of_the_pipeline_is_a_constant_of_the_message():
    source = "".join(path.read_text() for path in PIPELINE)
    codes = set(re.findall(r'(?:VimaError|error_of_views)\(\s*"([A-Z_]+)"', source))
    assert {"STALE", "FROZEN", "LOW_SCORE", "NO_OBJECT", "INTERNAL_ERROR"} <= codes
    assert all(getattr(PerceptionStatus, code) == code for code in codes - {"BAD_PARAMETER"})


def test_stamps_convert_both_ways():
    for nanoseconds in (0, 1, 10**9, 1_700_001_000_800_000_000):
        assert conversions.stamp_to_ns(conversions.ns_to_stamp(nanoseconds)) == nanoseconds
    assert conversions.ns_to_stamp(1_500_000_000) == Time(sec=1, nanosec=500_000_000)
