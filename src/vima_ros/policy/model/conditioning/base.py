"""Parts that distinguish one conditioning from another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vima_ros.policy.config import VimaConfig
from vima_ros.policy.inputs import PolicyInputs
from vima_ros.policy.model.controller import Controller
from vima_ros.policy.model.image_encoder import ImageEncoder
from vima_ros.policy.model.object_encoder import ObjectEncoder


@dataclass(frozen=True)
class Conditioning:
    """Inputs of a policy, the encoder of its images, and how its layers take from the prompt."""

    inputs: PolicyInputs
    encoder: Callable[[VimaConfig], ObjectEncoder | ImageEncoder]
    controller: Callable[[VimaConfig], Controller]
