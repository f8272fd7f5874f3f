"""Detector that runs an ONNX file, bundled or your own, in ONNX Runtime.

The file's interface: input ``images`` uint8 RGB (2, 128, 256, 3), front and top. Outputs for each
view v: ``boxes_v`` float32 (n, 4) x1, y1, x2, y2 [px], ``scores_v`` (n,), ``masks_v`` (n, M, M),
probabilities inside the box. Metadata ``card``: a JSON object (see model_files); its ``min_score``
is the score from which an object counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vima_ros.errors import DetectionError, VimaError, add_view_to_errors
from vima_ros.files import first_line
from vima_ros.perception.detectors.base import DEFAULT_SETTINGS, Detector, DetectorSettings
from vima_ros.perception.detectors.instances import FRAME_SHAPE, Instances
from vima_ros.perception.detectors.model_files import (
    WeightsFile,
    bad_weights,
    read_card,
    read_weights,
)
from vima_ros.perception.detectors.postprocess import paste_masks
from vima_ros.specs import VIEWS
from vima_ros.weight_files import ONNX

BUNDLED = Path(__file__).parent / "weights" / "detector.onnx"
MIN_SCORE = 0.5  # where the card names none
EXPECTED_CONTENT = "an ONNX file as train_detector exports it, or empty for the bundled one"
EXTERNAL_DATA_KEY = b"\x0a\x08location"  # before the name of a separate file of weights
INPUT = ("images", "tensor(uint8)", [len(VIEWS), *FRAME_SHAPE, 3])
OUTPUTS = {  # name: shape; None = any size
    f"{kind}_{view}": shape
    for view in VIEWS
    for kind, shape in (("boxes", (None, 4)), ("scores", (None,)), ("masks", (None, None, None)))
}


class OnnxDetector(Detector):
    """Mask R-CNN in ONNX Runtime, both views in one run; uses all settings but ``device``.

    The constructor raises VimaError: NOT_INSTALLED, NO_WEIGHTS, BAD_WEIGHTS, or BAD_DEVICE where
    ``provider`` is not to be had. ``detect`` also raises BAD_DETECTION for a network's nonsense.
    """

    has_weights = True

    def __init__(self, settings: DetectorSettings = DEFAULT_SETTINGS) -> None:
        super().__init__(settings)
        runtime = _runtime(settings.provider)
        self._file = read_weights(settings.weights, BUNDLED, EXPECTED_CONTENT, (ONNX,))
        self._session = _session(runtime, self._file, settings)
        _check_interface(self._session, self._file.name)
        self._card = read_card(self._file.name, self._session.get_modelmeta().custom_metadata_map)
        own = float(self._card.get("min_score", MIN_SCORE))
        self.min_score = own if settings.min_score is None else settings.min_score
        self._find_views({view: np.zeros((*FRAME_SHAPE, 3), np.uint8) for view in VIEWS}, {})

    def describe(self) -> dict[str, Any]:
        """Describe backend, file, provider, threads, minimum score and the file's card."""
        return {
            "backend": "onnx",
            **self._file.describe(),
            "provider": self.settings.provider,
            "threads": self.settings.threads,
            "min_score": self.min_score,
            "card": self._card,
        }

    def _find(self, image_rgb: np.ndarray, view: str, mask: np.ndarray | None) -> Instances:
        return self._find_views({view: image_rgb}, {view: mask})[view]

    def _find_views(
        self, images_rgb: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray | None]
    ) -> dict[str, Instances]:
        blank = np.zeros((*FRAME_SHAPE, 3), np.uint8)
        images = np.stack([images_rgb.get(view, blank) for view in VIEWS])
        try:
            values = self._session.run(list(OUTPUTS), {INPUT[0]: images})
        except Exception as error:  # ONNX Runtime's own errors have no base class of their own
            raise DetectionError(
                "BAD_DETECTION", f"{self._file.name}: {first_line(error)}"
            ) from error
        found = dict(zip(OUTPUTS, values, strict=True))
        instances = {}
        for view in images_rgb:
            values = [found[f"{kind}_{view}"] for kind in ("boxes", "scores", "masks")]
            with add_view_to_errors(view):
                instances[view] = paste_masks(*values, min_score=self.min_score)
        return instances


def _runtime(provider: str) -> Any:
    """Import onnxruntime, with ``provider`` available."""
    try:
        import onnxruntime
    except ImportError as error:
        raise VimaError(
            "NOT_INSTALLED",
            f"detector onnx needs ONNX Runtime ({first_line(error)}): pip install onnxruntime, "
            "for NVIDIA GPUs onnxruntime-gpu; detectors without it: plain_background, "
            "ground_truth_masks",
        ) from error
    there = onnxruntime.get_available_providers()
    if provider not in there:
        raise VimaError(
            "BAD_DEVICE",
            f"execution provider {provider!r} is not in ONNX Runtime {onnxruntime.__version__}; "
            f"valid here: {', '.join(there)} (for NVIDIA GPUs: pip install onnxruntime-gpu)",
        )
    return onnxruntime


def _session(runtime: Any, file: WeightsFile, settings: DetectorSettings) -> Any:
    if EXTERNAL_DATA_KEY in file.data:
        raise bad_weights(file.name, "some of its weights lie in another file", EXPECTED_CONTENT)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    # Threads that wait for work by spinning would take the processor from the other nodes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = runtime.InferenceSession(file.data, options, providers=[settings.provider])
    except Exception as error:  # as in ``_find_views``
        raise bad_weights(file.name, first_line(error), EXPECTED_CONTENT) from error
    session.disable_fallback()
    loaded = session.get_providers()
    if loaded[0] != settings.provider:
        raise VimaError(
            "BAD_DEVICE",
            f"execution provider {settings.provider!r} did not start, see the lines above; "
            f"valid here: {', '.join(loaded)}",
        )
    return session


def _check_interface(session: Any, name: str) -> None:
    """Raise VimaError (BAD_WEIGHTS) naming the first input or output that differs."""
    inputs, outputs = session.get_inputs(), {o.name: o for o in session.get_outputs()}
    got = [(i.name, i.type, i.shape) for i in inputs]
    if got != [INPUT]:
        raise bad_weights(name, f"its inputs are {got}", f"only {INPUT}")
    if set(outputs) != set(OUTPUTS):
        raise bad_weights(name, f"its outputs are {sorted(outputs)}", str(sorted(OUTPUTS)))
    for output, shape in OUTPUTS.items():
        kind, sizes = outputs[output].type, outputs[output].shape
        # Sizes that the graph does not specify are strings or None.
        fits = len(sizes) == len(shape) and all(
            want is None or have == want or not isinstance(have, int)
            for have, want in zip(sizes, shape, strict=True)
        )
        if kind != "tensor(float)" or not fits:
            wanted = tuple("any" if size is None else size for size in shape)
            raise bad_weights(name, f"{output} is {kind} {sizes}", f"tensor(float) {wanted}")
