"""camera_info as drivers publish it and calibration tools write it, and what must come of each."""

from dataclasses import dataclass
from types import SimpleNamespace

import yaml

from vima_ros.errors import VimaError
from vima_ros.perception.calibration.camera_info import read_camera_info
from vima_ros.perception.calibration.camera_model import CameraModel

SIZE = (640, 480)
K = (600.0, 0.0, 320.0, 0.0, 600.0, 240.0, 0.0, 0.0, 1.0)
P = (500.0, 0.0, 310.0, 0.0, 0.0, 500.0, 235.0, 0.0, 0.0, 0.0, 1.0, 0.0)
D = (-0.0306, 0.0352, -0.00014, -0.00015, -0.012)
EIGHT = (0.5, -2.6, 0.0, 0.0, 1.6, 0.4, -2.4, 1.5)
FISHEYE = (0.17, -0.03, 0.0003, -0.0007)
NAN = float("nan")


def info(model="plumb_bob", d=D, k=K, size=SIZE, p=(0.0,) * 12, binning=0, roi=(0, 0, 0, 0)):
    names = ("x_offset", "y_offset", "width", "height")
    return SimpleNamespace(
        width=size[0],
        height=size[1],
        distortion_model=model,
        k=list(k),
        d=list(d),
        p=list(p),
        binning_x=binning,
        binning_y=binning,
        roi=SimpleNamespace(**dict(zip(names, roi, strict=True))),
    )


@dataclass(frozen=True)
class Reading:
    """``given``: a CameraInfo, or the bytes of a file. What must come of it: ``model`` and ``d``,
    "uncalibrated", or a refusal whose message has the words ``refused``."""

    given: SimpleNamespace | bytes
    model: str = ""
    d: tuple[float, ...] = ()
    refused: str = ""


def plumb_bob(given, d=D):
    return Reading(given, "plumb_bob", d)


def straight(given):
    return Reading(given, "plumb_bob", (0.0,) * 4)


def refused(given, words):
    return Reading(given, refused=words)


TOLD = {
    "plumb_bob, 5": plumb_bob(info()),
    "plumb_bob, 4": plumb_bob(info(d=D[:4]), D[:4]),
    "plumb_bob, 8, the last three 0 (Orbbec)": plumb_bob(info(d=(*D, 0, 0, 0))),
    "plumb_bob, 8, not 0": Reading(info(d=EIGHT), "rational_polynomial", EIGHT),
    "plumb_bob, 14, the last nine 0": plumb_bob(info(d=(*D, *(0,) * 9))),
    "plumb_bob, 12, the last four 0": Reading(
        info(d=(*EIGHT, *(0,) * 4)), "rational_polynomial", (*EIGHT, *(0,) * 4)
    ),
    "plumb_bob, none": straight(info(d=())),
    "plumb_bob, 3": refused(info(d=D[:3]), "d has 3"),
    "plumb_bob, 7, not 0": refused(info(d=EIGHT[:7]), "d has 7"),
    "rational_polynomial, 8": Reading(
        info("rational_polynomial", EIGHT), "rational_polynomial", EIGHT
    ),
    "rational_polynomial, 5": plumb_bob(info("rational_polynomial")),
    "rational_polynomial, 8, the last three 0": plumb_bob(
        info("rational_polynomial", (*D, 0, 0, 0))
    ),
    "equidistant, 4": Reading(info("equidistant", FISHEYE), "equidistant", FISHEYE),
    "equidistant, 5, the last 0 (T265)": Reading(
        info("equidistant", (*FISHEYE, 0)), "equidistant", FISHEYE
    ),
    "equidistant, 5, not 0": refused(info("equidistant", D), "d has 5"),
    "fisheye": Reading(info("fisheye", FISHEYE), "equidistant", FISHEYE),
    "Kannala Brandt4": Reading(info("Kannala Brandt4", FISHEYE), "equidistant", FISHEYE),
    "no model, none": straight(info("", ())),
    "no model, zeros (Gazebo)": plumb_bob(info("", (0.0,) * 5), (0.0,) * 5),
    "no model, 5": plumb_bob(info("")),
    "none": straight(info("none", (0.0,) * 5)),
    "none, with numbers": refused(info("none"), "d is"),
    "pinhole": straight(info("pinhole", ())),
    "Plumb Bob": plumb_bob(info("Plumb Bob")),
    "brown_conrady": plumb_bob(info("brown_conrady")),
    "radtan (Kalibr)": plumb_bob(info("radtan", D[:4]), D[:4]),
    "thin_prism_fisheye": refused(info("thin_prism_fisheye", (0.0,) * 8), "distortion_model is"),
    "k and d 0": Reading(info("rational_polynomial", (0.0,) * 8, (0.0,) * 9), "uncalibrated"),
    "k 0 but its last, d 0": Reading(info("", (), (0.0,) * 8 + (1.0,)), "uncalibrated"),
    "k 0, d not": refused(info(k=(0.0,) * 9), "k is 0"),
    "k 0, p not (rectified)": straight(info("", (), (0.0,) * 9, p=P)),
    "k without its last 1": refused(info(k=(*K[:8], 0.0)), "k "),
    "k mirrored": refused(info(k=(-600.0, *K[1:])), "focal"),
    "NaN in d": refused(info(d=(NAN,) * 5), "d is"),
    "NaN in k": refused(info(k=(NAN,) * 9), "k is"),
    "of another size": refused(info(size=(1280, 720)), "1280 x 720"),
    "without a size": refused(info(size=(0, 0)), "0 x 0"),
    "binned, of the whole sensor": plumb_bob(info(size=(1280, 960), binning=2)),
    "binned, of the image": refused(info(binning=4), "160 x 120"),
    "roi of the whole image": plumb_bob(info(roi=(0, 0, 640, 480))),
    "roi in the middle": plumb_bob(info(size=(1280, 960), roi=(320, 240, 640, 480))),
    "roi beyond the image": refused(info(roi=(4, 4, 0, 0)), "roi"),
}

BASE = {
    "image_width": 640,
    "image_height": 480,
    "camera_name": "c",
    "camera_matrix": {"rows": 3, "cols": 3, "data": list(K)},
    "distortion_model": "plumb_bob",
    "distortion_coefficients": {"rows": 1, "cols": 5, "data": list(D)},
}


def text(**changes) -> str:
    """The file's text; None leaves a key out."""
    content = {key: value for key, value in (BASE | changes).items() if value is not None}
    return yaml.safe_dump(content, sort_keys=False)


PLAIN = text()
FOUR = {"data": list(FISHEYE)}
OPENCV = "%YAML:1.0\n---\ncameraMatrix: !!opencv-matrix\n   rows: 3\n   cols: 3\n   dt: d\n"
KALIBR = "cam0:\n  camera_model: pinhole\n  intrinsics: [600, 600, 320, 240]\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)
FILES = {
    "plain": plumb_bob(PLAIN.encode()),
    "CRLF": plumb_bob(PLAIN.replace("\n", "\r\n").encode()),
    "byte order mark": plumb_bob(b"\xef\xbb\xbf" + PLAIN.encode()),
    "UTF-16": plumb_bob(PLAIN.encode("utf-16")),
    "Latin-1 comment": plumb_bob(b"# f\xfcr vorne\n" + PLAIN.encode()),
    "tabs": plumb_bob(PLAIN.replace("  ", "\t").encode()),
    "numbers as text": plumb_bob(PLAIN.replace("-0.012", "'-1.2e-2'").encode()),
    "camera_model fisheye": Reading(
        text(distortion_model=None, camera_model="fisheye", distortion_coefficients=FOUR).encode(),
        "equidistant",
        FISHEYE,
    ),
    "camera_model pinhole": plumb_bob(
        text(distortion_model=None, camera_model="pinhole").encode()
    ),
    "no model": plumb_bob(text(distortion_model=None).encode()),
    "no model, no numbers": straight(
        text(distortion_model=None, distortion_coefficients=None).encode()
    ),
    "8 numbers, cols 5": Reading(
        text(distortion_coefficients={"rows": 1, "cols": 5, "data": list(EIGHT)}).encode(),
        "rational_polynomial",
        EIGHT,
    ),
    "no camera_matrix": refused(text(camera_matrix=None).encode(), "camera_matrix is missing"),
    "no numbers": refused(text(distortion_coefficients=None).encode(), "distortion_coefficients"),
    "width is a word": refused(text(image_width="many").encode(), "image_width"),
    "model is a list": refused(text(distortion_model=[1]).encode(), "distortion_model"),
    "a bomb": refused((BOMB + "camera_matrix: *j\nimage_width: 1\n").encode(), "image_height"),
    "a bomb as numbers": refused(
        (BOMB + "image_width: 640\nimage_height: 480\ncamera_matrix: {data: *j}\n").encode(),
        "camera_matrix",
    ),
    "OpenCV's": refused(OPENCV.encode(), "OpenCV"),
    "Kalibr's": refused(KALIBR.encode(), "Kalibr"),
    "broken": refused(b"a: [\n", "line 2"),
    "a PNG": refused(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "valid: camera_info YAML"),
    "a list": refused(b"- 1\n", "it is a list"),
    "empty": refused(b"", "it is empty"),
}
READINGS = TOLD | {f"file: {name}": reading for name, reading in FILES.items()}


def differences(reading: Reading, folder) -> tuple[str, list[str]]:
    """What came of it, in words, and what of that is wrong; ``folder`` is for files."""
    try:
        given = reading.given
        if isinstance(given, bytes):
            path = folder / "info.yaml"
            path.write_bytes(given)
            given = read_camera_info(path)
        lens = CameraModel.from_camera_info(given, SIZE)
    except VimaError as error:
        seen = f"{error.code}: {error}"
        right = error.code == "BAD_CAMERA_INFO" and bool(reading.refused)
        return seen, [] if right and reading.refused in seen else ["refused so"]
    if lens is None:
        return "uncalibrated", [] if reading.model == "uncalibrated" else ["no lens"]
    right = (reading.model, list(reading.d)) == (lens.model, lens.d.tolist())
    return f"{lens.model} {lens.d.tolist()}", [] if right else ["another lens"]
