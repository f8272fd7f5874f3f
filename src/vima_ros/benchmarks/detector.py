"""Detection times without ROS."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vima_ros.errors import VimaError
from vima_ros.perception.crops import extract_objects
from vima_ros.perception.detectors.base import Detector

Pair = Mapping[str, np.ndarray]  # by view, uint8 RGB (128, 256, 3)
WARM_UP = 3  # calls


def detector_times(
    detector: Detector, pairs: Sequence[Pair], count: int
) -> dict[str, list[float]]:
    """Measure ``count`` calls [s]: "detector", both views at once; "crops" of its detections.

    Raises VimaError as ``detect_views``.
    """
    found = [detector.detect_views(pair) for pair in pairs]

    def crop(index: int) -> None:
        for view, image in pairs[index].items():
            extract_objects(image, found[index][view])

    return {
        "detector": _times(lambda i: detector.detect_views(pairs[i]), len(pairs), count),
        "crops": _times(crop, len(pairs), count),
    }


def network_times(weights: str, pairs: Sequence[Pair], count: int, threads: int) -> list[float]:
    """Measure ``count`` runs of an ONNX file with ONNX Runtime's default settings [s].

    Both views at once, on the CPU. Raises VimaError (NOT_INSTALLED).
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise VimaError("NOT_INSTALLED", f"{error}; pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    (name,) = (item.name for item in session.get_inputs())
    batches = [np.stack([pair["front"], pair["top"]]) for pair in pairs]
    return _times(lambda i: session.run(None, {name: batches[i]}), len(pairs), count)


def _times(call: Callable[[int], object], pairs: int, count: int) -> list[float]:
    times = []
    for turn in range(WARM_UP + count):
        began = time.perf_counter()
        call(turn % pairs)
        times.append(time.perf_counter() - began)
    return times[WARM_UP:]
