"""VIMA: object tokens, and every layer cross-attends to the prompt."""

from vima_ros.policy.inputs import OBJECTS
from vima_ros.policy.model.conditioning.base import Conditioning
from vima_ros.policy.model.cross_attention import CrossAttentionController
from vima_ros.policy.model.object_encoder import ObjectEncoder

VIMA = Conditioning(OBJECTS, ObjectEncoder, CrossAttentionController)
