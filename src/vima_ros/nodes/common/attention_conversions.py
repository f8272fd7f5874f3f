"""Conversions of a decision's attention to and from its message."""

from __future__ import annotations

import numpy as np

from vima_msgs import msg
from vima_ros.decision_attention import AttentionToken, DecisionAttention
from vima_ros.errors import VimaError


def attention_to_message(attention: DecisionAttention, action: msg.PolicyAction) -> msg.Attention:
    """Convert the attention of the decision that ``action`` is the message of."""
    layers, heads = attention.objects.shape[:2]
    return msg.Attention(
        header=action.header,
        prompt_id=action.prompt_id,
        step=action.step,
        observation_stamp=action.observation_stamp,
        prompt=[_token_to_message(token) for token in attention.prompt],
        observed=[_token_to_message(token) for token in attention.observed],
        layers=layers,
        prompt_heads=heads,
        history_heads=attention.action_objects.shape[1],
        objects=attention.objects.ravel(),
        action=attention.action.ravel(),
        action_objects=attention.action_objects.ravel(),
    )


def attention_from_message(message: msg.Attention) -> DecisionAttention:
    """Convert a message. Raises VimaError (INVALID_VALUE) where sizes do not agree."""
    length, n, layers = len(message.prompt), len(message.observed), message.layers
    shapes = {
        "objects": (layers, message.prompt_heads, n, length),
        "action": (layers, message.prompt_heads, length),
        "action_objects": (layers, message.history_heads, n),
    }
    arrays = {}
    for name, shape in shapes.items():
        values = np.asarray(getattr(message, name), np.float32)
        if values.size != np.prod(shape) or not np.isfinite(values).all():
            raise VimaError(
                "INVALID_VALUE",
                f"Attention.{name} has {values.size} values; valid: {shape}, all finite",
            )
        arrays[name] = values.reshape(shape)
    return DecisionAttention(
        tuple(map(_token_from_message, message.prompt)),
        tuple(map(_token_from_message, message.observed)),
        **arrays,
    )


def _token_to_message(token: AttentionToken) -> msg.AttentionToken:
    return msg.AttentionToken(
        text=token.text,
        token=token.token,
        view=token.view,
        slot=token.slot,
        bbox=np.array(token.box or (0, 0, 0, 0), np.uint16),
        track_id=token.track_id,
    )


def _token_from_message(message: msg.AttentionToken) -> AttentionToken:
    x, y, height, width = map(int, message.bbox)
    box = (x, y, height, width) if any((x, y, height, width)) else None
    return AttentionToken(
        message.text,
        message.token,
        view=message.view,
        slot=message.slot,
        box=box,
        track_id=message.track_id,
    )
