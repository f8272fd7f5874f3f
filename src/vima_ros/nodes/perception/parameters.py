"""Parameters of the perception node."""

from __future__ import annotations

from dataclasses import dataclass

from vima_ros.errors import VimaError
from vima_ros.nodes.common.cell_parameters import WorkspaceParameters
from vima_ros.nodes.common.parameters import parameter
from vima_ros.perception.detectors.registry import DETECTORS, DetectorSettings
from vima_ros.perception.pipeline import AcceptanceLimits


@dataclass(frozen=True)
class PerceptionParameters(WorkspaceParameters):
    """Parameters of the perception node, with the values of config/perception.yaml."""

    detector: str = parameter(
        "Detector of the objects in the camera images",
        choices=tuple(sorted(DETECTORS)),
        read_only=True,
    )
    weights: str = parameter(
        "Weights file of the detector; empty: the bundled one", read_only=True, path=True
    )
    provider: str = parameter(
        "ONNX Runtime execution provider of the onnx detector, such as CUDAExecutionProvider",
        read_only=True,
    )
    device: str = parameter(
        "Torch device of the detectron2 and torchvision detectors: cpu, cuda, cuda:1 …",
        read_only=True,
    )
    threads: int = parameter(
        "Number of CPU threads of the detector", low=1, high=64, read_only=True
    )
    min_score: float = parameter(
        "Minimum score of an accepted object; 0: the limit that comes with the detector's weights",
        low=0,
        high=1,
        read_only=True,
    )
    max_objects: int = parameter(
        "Maximum number of objects in one view; images with more are refused", low=1, high=64
    )
    enable_tracking: bool = parameter(
        "Tracking of objects over time and across views, for stable ids; the detector "
        "ground_truth_masks has its own",
        read_only=True,
    )
    use_compressed_images: bool = parameter(
        "Subscription to CompressedImage (image_raw/compressed) in place of Image topics",
        read_only=True,
    )
    sync_slop: float = parameter(
        "Maximum difference of the stamps of a pair of images [s]", low=0, high=1, read_only=True
    )
    max_age: float = parameter(
        "Maximum age of an image when it is processed [s]; older ones are refused; 0: any age",
        low=0,
        high=60,
    )
    frozen_timeout: float = parameter(
        "Maximum time of unchanged pixels under new stamps [s], for a camera that has shown "
        "noise; longer is refused as FROZEN; 0: never, whatever frozen_timeout_noiseless is",
        low=0,
        high=600,
    )
    frozen_timeout_noiseless: float = parameter(
        "Maximum time of unchanged pixels under new stamps [s], for a camera without noise, such "
        "as a simulated one; 0: never",
        low=0,
        high=86400,
    )
    front_region: list[int] = parameter(
        "Region of the front image that is the policy's view, 2:1: x, y, width, height [px]; "
        "all 0: the largest centred 2:1 region",
        read_only=True,
    )
    top_region: list[int] = parameter(
        "Region of the top image that is the policy's view, 2:1: x, y, width, height [px]; "
        "all 0: the largest centred 2:1 region",
        read_only=True,
    )
    front_calibration: str = parameter(
        "Calibration file of the front camera, made by `calibrate`, in place of front_region; "
        "empty: none",
        read_only=True,
        path=True,
    )
    top_calibration: str = parameter(
        "Calibration file of the top camera, made by `calibrate`, in place of top_region; "
        "empty: none",
        read_only=True,
        path=True,
    )
    front_frame: str = parameter(
        "Expected frame_id of the front images; empty: that of the first image", read_only=True
    )
    top_frame: str = parameter(
        "Expected frame_id of the top images; empty: that of the first image", read_only=True
    )
    undistort: bool = parameter(
        "Correction of lens distortion by front/camera_info and top/camera_info; images are "
        "refused until they arrive; a calibration has its own camera model and is checked against "
        "them; images of a topic image_rect… are already rectified",
        read_only=True,
    )
    drift_period: float = parameter(
        "Period of the check whether a camera has moved since its calibration [s]; 0: never",
        low=0,
        high=3600,
        read_only=True,
    )
    drift_limit: float = parameter(
        "Maximum shift of the view without the warning CALIBRATION_MOVED [px of the camera image]",
        low=0.1,
        high=50,
        read_only=True,
    )

    @property
    def limits(self) -> AcceptanceLimits:
        """Current limits for the pipeline."""
        return AcceptanceLimits(
            max_objects=self.max_objects,
            min_score=self.min_score,
            frozen_timeout=self.frozen_timeout,
            max_age=self.max_age,
            frozen_timeout_noiseless=self.frozen_timeout_noiseless,
        )

    @property
    def detector_settings(self) -> DetectorSettings:
        """Settings for ``make_detector``."""
        return DetectorSettings(
            weights=self.weights,
            provider=self.provider,
            device=self.device,
            threads=self.threads,
            min_score=self.min_score or None,
        )

    def region(self, view: str) -> tuple[int, ...] | None:
        """Return the region of a view, None for the default one.

        Raises VimaError (BAD_PARAMETER) unless there are four numbers.
        """
        values = getattr(self, f"{view}_region")
        if len(values) != 4:
            raise VimaError(
                "BAD_PARAMETER",
                f"{view}_region is {list(values)}; valid: x, y, width, height [px]",
            )
        return tuple(values) if any(values) else None

    def calibration(self, view: str) -> str:
        """Return the calibration file of a view, empty if there is none."""
        return str(getattr(self, f"{view}_calibration"))
