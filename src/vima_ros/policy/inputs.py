"""What a policy reads and does, for those who feed it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class PolicyInputs:
    """Kinds of input and output of a policy.

    ``observation``: ``objects`` (crops and boxes of detected objects) or ``images`` (both views
    whole), which prompt images are too. ``action``: two poses in the workspace.
    """

    observation: Literal["objects", "images"]
    action: Literal["pose_pair"] = "pose_pair"


OBJECTS = PolicyInputs("objects")
IMAGES = PolicyInputs("images")
