"""Names and coefficients of lens distortion models, converted to ROS's."""

from __future__ import annotations

import re

import numpy as np

from vima_ros.errors import VimaError

# Number of coefficients by model (sensor_msgs/distortion_models.hpp and OpenCV's calib3d). Those
# of the first two are one series, cut off where the rest is 0.
MODELS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
NONE = "none"  # undistorted
OTHER_NAMES = {  # in small letters, without separators
    **dict.fromkeys(("none", "undistorted", "pinhole", "rectilinear"), NONE),
    **dict.fromkeys(("radtan", "radialtangential", "brownconrady"), "plumb_bob"),
    **dict.fromkeys(("fisheye", "equi", "kannalabrandt", "kannalabrandt4"), "equidistant"),
    "rational": "rational_polynomial",
}


def model_and_coefficients(name: str, d: np.ndarray) -> tuple[str, np.ndarray]:
    """Convert CameraInfo's fields to a key of MODELS and that model's coefficients.

    ``name`` is distortion_model, in any of its usual spellings; empty: of the polynomial series. A
    ``d`` (n,) that is empty, as where there is no distortion, is all 0; zeros behind the model's
    last coefficient mean nothing. Raises VimaError (BAD_CAMERA_INFO) naming the field.
    """
    if not np.isfinite(d).all():
        raise _bad(f"d is {d.tolist()}; valid: finite numbers")
    plain = re.sub(r"[\s_-]", "", name.lower())
    known = {model.replace("_", ""): model for model in MODELS} | OTHER_NAMES | {"": "plumb_bob"}
    model = known.get(plain)
    if model is None:
        raise _bad(f"distortion_model is {name!r}; valid: {', '.join(MODELS)}, or empty")
    if model == NONE:
        if d.any():
            raise _bad(f"distortion_model is {name!r} and d is {d.tolist()}; valid: all of d 0")
        model, d = "plumb_bob", d[:0]
    if not d.size:
        d = np.zeros(MODELS[model][0])
    fewest = MODELS["equidistant" if model == "equidistant" else "plumb_bob"][-1]
    if not d[fewest:].any():
        d = d[:fewest]
    if model != "equidistant":
        model = "plumb_bob" if d.size <= fewest else "rational_polynomial"
    if d.size not in MODELS[model]:
        valid = ", ".join(f"{' or '.join(map(str, n))} for {m}" for m, n in MODELS.items())
        raise _bad(f"d has {d.size} coefficients for {name!r}; valid: {valid}")
    return model, d


def _bad(message: str) -> VimaError:
    return VimaError("BAD_CAMERA_INFO", message)
