"""Parameters of the perception node, and what they mean to the parts that need them."""

from __future__ import annotations

from dataclasses import dataclass

from vima_ros.errors import VimaError
from vima_ros.nodes.common.parameters import parameter
from vima_ros.perception.detectors.registry import DETECTORS, DetectorSettings
from vima_ros.perception.pipeline import Rules


@dataclass(frozen=True)
class PerceptionParameters:
    """Read from config/perception.yaml."""

    detector: str = parameter(
        "who finds the objects", choices=tuple(sorted(DETECTORS)), read_only=True
    )
    weights: str = parameter(
        "the detector's file of weights; empty: its own default", read_only=True, path=True
    )
    provider: str = parameter(
        "ONNX Runtime execution provider of the onnx detector, such as CUDAExecutionProvider",
        read_only=True,
    )
    device: str = parameter(
        "where the detectron2 and torchvision detectors compute: cpu, cuda, cuda:1 …",
        read_only=True,
    )
    threads: int = parameter("of the detector on the CPU", low=1, high=64, read_only=True)
    min_score: float = parameter(
        "objects below are left out; 0: the detector's own limit, which came with its weights",
        low=0,
        high=1,
        read_only=True,
    )
    max_objects: int = parameter("more in one view are refused", low=1, high=64)
    track: bool = parameter(
        "give objects identities over time and across views; masks have their own", read_only=True
    )
    compressed: bool = parameter("cameras publish CompressedImage", read_only=True)
    sync_slop: float = parameter(
        "largest stamp difference of a pair [s]", low=0, high=1, read_only=True
    )
    max_age: float = parameter(
        "a frame older when its turn comes is refused; 0: any age [s]", low=0, high=60
    )
    frozen_after: float = parameter(
        "the same pixels under new stamps for longer are refused, where a camera's images have "
        "shown noise before; 0: never, whatever frozen_after_noiseless is [s]",
        low=0,
        high=600,
    )
    frozen_after_noiseless: float = parameter(
        "the same where they have shown no noise, as a simulator's at rest; 0: never [s]",
        low=0,
        high=86400,
    )
    front_region: list[int] = parameter(
        "x, y, width, height of the front image that is the policy's view, 2:1 [px]; "
        "all 0: the largest centred 2:1 area",
        read_only=True,
    )
    top_region: list[int] = parameter("the same for the top image [px]", read_only=True)
    front_calibration: str = parameter(
        "file made by `calibrate` for the front camera, instead of front_region; empty: none",
        read_only=True,
        path=True,
    )
    top_calibration: str = parameter("the same file for the top camera", read_only=True, path=True)
    front_frame: str = parameter(
        "frame_id that front images carry; empty: that of the first, no other after it",
        read_only=True,
    )
    top_frame: str = parameter("the same for top images", read_only=True)
    undistort: bool = parameter(
        "take the lens distortion out as front/camera_info and top/camera_info say, and refuse "
        "pictures until they do; a calibration has its own and is checked against them; images "
        "from a topic image_rect… have no distortion left",
        read_only=True,
    )
    drift_period: float = parameter(
        "between looks for a camera that has moved since its calibration; 0: never [s]",
        low=0,
        high=3600,
        read_only=True,
    )
    drift_limit: float = parameter(
        "a shift of the view by more is warned of, as CALIBRATION_MOVED [px of the camera]",
        low=0.1,
        high=50,
        read_only=True,
    )

    @property
    def rules(self) -> Rules:
        """What is good enough now."""
        return Rules(
            max_objects=self.max_objects,
            min_score=self.min_score,
            frozen_after=self.frozen_after,
            max_age=self.max_age,
            frozen_after_noiseless=self.frozen_after_noiseless,
        )

    @property
    def detector_settings(self) -> DetectorSettings:
        """For ``make_detector``."""
        return DetectorSettings(
            weights=self.weights,
            provider=self.provider,
            device=self.device,
            threads=self.threads,
            min_score=self.min_score or None,
        )

    def region(self, view: str) -> tuple[int, ...] | None:
        """Raises VimaError (BAD_PARAMETER) unless there are four numbers."""
        values = getattr(self, f"{view}_region")
        if len(values) != 4:
            raise VimaError(
                "BAD_PARAMETER",
                f"{view}_region is {list(values)}; valid: x, y, width, height [px]",
            )
        return tuple(values) if any(values) else None

    def calibration(self, view: str) -> str:
        """The file, empty if there is none."""
        return str(getattr(self, f"{view}_calibration"))
