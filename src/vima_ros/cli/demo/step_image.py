"""Image of one step: both views with the detected objects and the action."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from sensor_msgs.msg import Image

from vima_msgs.msg import Observation, PolicyAction
from vima_ros.files import write_image
from vima_ros.nodes.common import conversions, image_conversion
from vima_ros.perception.visualization import draw_action, draw_objects
from vima_ros.policy_frame import project_to_view
from vima_ros.specs import VIEWS, Primitive

LINE_HEIGHT = 26  # [px]
LABELS = {Primitive.PICK_PLACE: ("pick", "place"), Primitive.SWEEP: ("from", "to")}


def save_step(
    path: Path,
    title: str,
    lines: Sequence[str],
    frames: dict[str, Image],
    observation: Observation,
    action: PolicyAction,
) -> None:
    """Draw a step and write it to ``path``.

    ``frames``: images by view, from the cameras of VIMA-Bench (``policy_frame``).
    """
    canvases = []
    for view in VIEWS:
        objects = conversions.view_from_message(getattr(observation, view))
        canvas = draw_objects(image_conversion.decode_colour(frames[view]), objects)
        points = [
            project_to_view(view, conversions.pose_from_message(pose).position)[
                ::-1
            ]  # row, col -> x, y
            for pose in (action.pose0, action.pose1)
        ]
        pick, place = (point.tolist() for point in points)
        canvas = draw_action(canvas, pick, place, labels=LABELS[Primitive(action.primitive)])
        cv2.putText(canvas, view, (12, 370), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1)
        canvases.append(canvas)
    images = np.hstack(canvases)
    text = np.full((LINE_HEIGHT * (len(lines) + 1) + 12, images.shape[1], 3), 30, np.uint8)
    for index, line in enumerate([title, *lines]):
        colour = (255, 255, 255) if index == 0 else (190, 190, 190)
        at = (12, LINE_HEIGHT * (index + 1))
        cv2.putText(text, line, at, cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, 1, cv2.LINE_AA)
    write_image(path, np.vstack([text, images]))
