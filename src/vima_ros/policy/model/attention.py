"""Attention of the vision transformer and the controller.

B batch, H heads, T queries, S keys, E width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

KeyValue = tuple[Tensor, Tensor]  # each (B, H, S, E / H)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Split the heads: (B, T, E) to (B, H, T, E / H)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def attention(query: Tensor, keys_values: KeyValue, attend: Tensor | None = None) -> Tensor:
    """Compute scaled dot-product attention, (B, H, T, E / H) to (B, T, E).

    ``attend`` (B, T or 1, S) bool: which keys a query may attend to; None: all of them. A query
    with nothing to attend to gets the plain mean, never NaN; such tokens are masked themselves, so
    nothing reads them.
    """
    bias = None
    if attend is not None:
        bias = torch.zeros(attend.shape, dtype=query.dtype, device=query.device)
        bias = bias.masked_fill(~attend, torch.finfo(query.dtype).min)[:, None]  # (B, 1, T, S)
    out = F.scaled_dot_product_attention(query, *keys_values, attn_mask=bias)
    return out.transpose(1, 2).flatten(2)  # (B, H, T, E / H) -> (B, T, E)


def attention_scores(query: Tensor, keys: Tensor, attend: Tensor) -> Tensor:
    """Compute what ``attention`` takes the softmax of, (B, H, T, S) float32: -inf at False.

    PyTorch's kernel does not return it.
    """
    scores = (query @ keys.mT).float() / keys.shape[-1] ** 0.5
    return scores.masked_fill(~attend[:, None], float("-inf"))
