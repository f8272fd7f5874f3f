"""Number formats of the network, and oneDNN's layout of its weights on a CPU.

On a CPU each linear layer's weight is stored as oneDNN's kernels read it, where this PyTorch and
this processor have them. For the few tokens of one step a matrix product is mostly the reading of
its weight, which PyTorch's default kernel packs anew in every call.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.ao.nn.quantized.dynamic import Linear as DynamicLinear

from vima_ros.errors import VimaError
from vima_ros.policy.config import DTYPES
from vima_ros.policy.model.network import VimaNetwork


class PackedLinear(nn.Module):
    """A linear layer in oneDNN's layout; ``weight`` (out, in) is opaque to everything else."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)
        self.bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")


def check_dtype(dtype: str, device: torch.device) -> None:
    """Check that ``prepare`` supports a dtype on ``device``. Raises VimaError (BAD_DTYPE)."""
    valid = DTYPES if device.type == "cpu" else DTYPES[:-1]
    if dtype not in valid:
        raise VimaError("BAD_DTYPE", f"dtype is {dtype!r}; valid on {device}: {', '.join(valid)}")


def prepare(network: VimaNetwork, device: torch.device, dtype: str) -> str:
    """Move ``network`` to ``device`` and ``dtype``, in place; return the name of its kernels.

    ``float32``; ``bfloat16``: every weight and activation; ``int8``: the linear layers' weights, a
    scale for each (their inputs are rounded to 8 bit as they come), on a CPU only. The network
    can decide after this, but not train: its weights take no gradients.
    """
    network.requires_grad_(False)
    network.to(device, torch.bfloat16 if dtype == "bfloat16" else torch.float32)
    if device.type != "cpu":
        return device.type
    if dtype == "int8":
        _replace_linears(network, _eight_bit)
        return f"PyTorch's {torch.backends.quantized.engine}, 8 bit"
    if not _can_pack(dtype):
        return "PyTorch's own"
    _replace_linears(network, PackedLinear)
    return "oneDNN, packed weights"


def _can_pack(dtype: str) -> bool:
    """Return whether this PyTorch and processor have oneDNN's kernels; bfloat16 needs more."""
    if not torch.backends.mkldnn.is_available() or not hasattr(
        torch.ops.mkldnn, "_linear_pointwise"
    ):
        return False
    return dtype != "bfloat16" or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _replace_linears(network: nn.Module, make: Callable[[nn.Linear], nn.Module]) -> None:
    for parent in [module for module in network.modules() if len(module._modules)]:
        for name, child in parent.named_children():
            if type(child) is nn.Linear:  # freed at once: never two copies of the whole network
                setattr(parent, name, make(child))


def _eight_bit(linear: nn.Linear) -> nn.Module:
    linear.qconfig = torch.ao.quantization.default_dynamic_qconfig  # type: ignore[assignment]
    with warnings.catch_warnings():
        # A notice that a later PyTorch has this in torchao, one dependency more.
        warnings.simplefilter("ignore", UserWarning)
        return DynamicLinear.from_float(linear)
