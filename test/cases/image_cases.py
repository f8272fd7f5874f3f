"""Images, their stamps and camera_info, each odd in its way, and what must come of it.

    ./vima exec python test/cases/image_cases.py [CASE ...]

Data are decoded as the nodes do it; for the cases of a running node a perception node is started
before two played cameras. Prints a table; exit code 1 when a case ends otherwise than expected.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "nodes"))

import camera_infos
import encoded_images
import table
from encoded_images import GREY_JPEGS, JPEG_OPTIONS, jpeg
from played_cameras import MILLISECOND, Perception, PlayedCameras, image
from sensor_msgs.msg import CompressedImage, Image

from vima_msgs.msg import PerceptionStatus
from vima_ros.errors import VimaError
from vima_ros.nodes.common import image_conversion

Outcome = tuple[str, list[str]]  # what was seen, and what of it is wrong
PAIRS = 30  # 100 ms apart by their stamps


def code_of(data: bytes) -> str:
    """OK, or the code that an image is refused with."""
    try:
        image_conversion.decode_colour(CompressedImage(format="jpeg", data=data))
    except VimaError as error:
        return error.code
    return "OK"


def decode(whole: dict[str, bytes], damaged: dict[str, bytes], folder: Path) -> Outcome:
    wrong = [f"{name} refused" for name, data in whole.items() if code_of(data) != "OK"]
    wrong += [f"{name} taken" for name, data in damaged.items() if code_of(data) != "BAD_IMAGE"]
    return f"{len(whole)} whole, {len(damaged)} damaged", wrong


def transparent(folder: Path) -> Outcome:
    """A red block that is not to be seen, beside one that is."""
    rgba = np.dstack([np.tile(np.uint8([200, 10, 20]), (4, 8, 1)), np.zeros((4, 8), np.uint8)])
    rgba[:, 4:, 3] = 255
    got = {
        "PNG": image_conversion.decode_colour(
            CompressedImage(data=encoded_images.png(rgba.reshape(4, 32), 8, 6))
        ),
        "rgba8": image_conversion.decode_colour(image_conversion.encode(rgba, "rgba8")),
        "bgra8": image_conversion.decode_colour(
            image_conversion.encode(rgba[..., [2, 1, 0, 3]], "bgra8")
        ),
    }
    wrong = [n for n, rgb in got.items() if rgb[0, ::7].tolist() != [[255] * 3, [200, 10, 20]]]
    return "transparent and opaque red", wrong


def camera_info(folder: Path) -> Outcome:
    outcomes = {
        name: camera_infos.differences(reading, folder)
        for name, reading in camera_infos.READINGS.items()
    }
    return f"{len(outcomes)} read or refused", [n for n, (_, wrong) in outcomes.items() if wrong]


def with_node(
    play: Callable[[PlayedCameras, int], None],
    codes: set[str],
    kind: type,
    folder: Path,
    **parameters,
) -> Outcome:
    """``play`` shows the nth of PAIRS pairs; the statuses of the node have just ``codes``."""
    with Perception(folder, "/cases", frozen_timeout=1.0, **parameters) as running:
        cameras = PlayedCameras(running.client, kind)
        cameras.client.wait_until(
            lambda: all(p.get_subscription_count() for p in cameras.publishers.values()), "cameras"
        )
        begun, numbers = cameras.statuses.count, itertools.count()

        def is_done() -> bool:
            number = next(numbers)
            play(cameras, number)
            return number > PAIRS and codes <= {m.code for m in cameras.statuses.since(begun)}

        with contextlib.suppress(VimaError):  # what came instead is shown
            cameras.client.wait_until(is_done, " ".join(codes))
        messages = cameras.statuses.since(begun)
    seen = {m.code: m.message for m in messages}
    # the first status of all may be of before the cameras
    extra = set(seen) - codes - {PerceptionStatus.NO_FRAMES}
    wrong = [f"no {code}" for code in codes - set(seen)] + [f"{code} as well" for code in extra]
    return "; ".join(f"{code} {message}" for code, message in seen.items()), wrong


def show_jpegs(data: bytes, cameras: PlayedCameras, number: int) -> None:
    cameras.show(*(CompressedImage(format="jpeg", data=data) for _ in range(2)))


def show_at_rest(cameras: PlayedCameras, number: int) -> None:
    cameras.show(image(), image())


def show_zero_stamps(cameras: PlayedCameras, number: int) -> None:
    cameras.show(image(), image(), stamps={"front": 0, "top": 0})


def show_frozen_stamp(cameras: PlayedCameras, number: int) -> None:
    stamps = {"front": cameras.clock + number * MILLISECOND, "top": 1}
    cameras.show(image(), image(), stamps=stamps)


def show_nothing(cameras: PlayedCameras, number: int) -> None:
    pass


@dataclass(frozen=True)
class Case:
    """``expected`` in words; ``run`` takes the case's folder."""

    expected: str
    run: Callable[[Path], Outcome]


def lost(kind: str) -> Case:
    return Case(
        "BAD_IMAGE where data are lost",
        partial(decode, {"whole": jpeg(kind)}, encoded_images.damaged_jpegs(jpeg(kind))),
    )


def running(
    play: Callable[[PlayedCameras, int], None], *codes: str, kind: type = Image, **parameters
) -> Case:
    return Case(
        f"{', '.join(codes)} of a running node",
        partial(with_node, play, set(codes), kind, **parameters),
    )


LOST = encoded_images.damaged_jpegs(jpeg())["1400 bytes lost at 50%"]
packed = partial(running, kind=CompressedImage, use_compressed_images=True)
CASES = {
    "jpeg_packet_lost": lost("baseline"),
    **{
        f"jpeg_packet_lost_{kind.replace(' ', '_').replace(':', '')}": lost(kind)
        for kind in JPEG_OPTIONS | GREY_JPEGS
        if kind != "baseline"
    },
    "jpeg_scans_lost": Case(
        "BAD_IMAGE", partial(decode, {}, encoded_images.without_scans(jpeg("progressive")))
    ),
    "jpeg_odd_and_whole": Case("taken", partial(decode, encoded_images.odd_jpegs(), {})),
    "png_damaged": Case(
        "BAD_IMAGE",
        partial(decode, {"whole": encoded_images.plain_png()}, encoded_images.damaged_pngs()),
    ),
    "transparent_pixels": Case("white where transparent", transparent),
    "camera_info_odd": Case("each read, or refused naming the field", camera_info),
    "jpeg_packet_lost_live": packed(partial(show_jpegs, LOST), PerceptionStatus.BAD_IMAGE),
    "jpeg_whole_live": packed(partial(show_jpegs, jpeg()), PerceptionStatus.OK),
    "simulator_at_rest": running(show_at_rest, PerceptionStatus.OK),
    "zero_stamps": running(show_zero_stamps, PerceptionStatus.BAD_STAMPS),
    "frozen_stamp": running(show_frozen_stamp, PerceptionStatus.BAD_STAMPS),
    "no_frames": running(show_nothing, PerceptionStatus.NO_FRAMES),
}


def expected(case: Case) -> str:
    return case.expected


def run(name: str, folder: Path) -> Outcome:
    """What was seen of a case, and what of it is wrong."""
    return CASES[name].run(folder)


if __name__ == "__main__":
    table.main(sys.modules[__name__])
