"""Initial weights of policy training."""

from __future__ import annotations

from math import pi
from typing import cast

import torch
from torch import nn

from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.conditioning.flamingo import LatentEncoder
from vima_ros.policy.model.controller import Block
from vima_ros.policy.model.cross_attention import CrossAttention, CrossAttentionController
from vima_ros.policy.model.image_encoder import ImageEncoder
from vima_ros.policy.model.network import VimaNetwork
from vima_ros.policy.model.object_encoder import ObjectEncoder
from vima_ros.policy.model.prefix import PrefixController
from vima_ros.policy.model.vit import ViT, ViTBlock
from vima_ros.specs import VIEW_IMAGE_SIZE
from vima_ros.training.loaded_weights import LoadedWeights

RESIDUAL_INIT_SCALE = 0.2  # of residual branches, of the prompt encoder and of whole images'
# vision transformer, times their default
EMBEDDING_STD = 0.4  # standard deviation of the word embedding
POSITION_STD = 0.02  # standard deviation of position embeddings, as in GPT-2
RBF_HEIGHT = 2.0  # peak of a box feature
AXES = (5, 5, 3, 3)  # proportions of box features for x, y, height and width
CONTRAST_GAIN = 8.0  # of a whole image's patches, times PyTorch's default
WAVELENGTHS = (2.0, 130.0)  # of position embeddings of patches, shortest and longest [patches]


@torch.no_grad()
def new_network(config: VimaConfig) -> VimaNetwork:
    """Build a network with random weights that training starts well from.

    PyTorch's defaults, except where training would take very many steps: tokens of objects and
    images enter history and prompt unchanged, if the sizes allow it; what is similar attends to
    each other where the history reads the prompt, for keys equal queries (mimetic initialization,
    Trockman and Kolter, ICML 2023); the box MLP's outputs distinguish positions; the pointer of a
    conditioned place begins with the attention that finds an object's images; of whole images,
    tokens say from the start what stands out from the table, and where.
    """
    network, width = VimaNetwork(config), config.embed_dim
    encoder = cast(ObjectEncoder | ImageEncoder, network.object_encoder)
    controller = network.controller
    for name, parameter in network.named_parameters():
        if parameter.ndim >= 2 and "embed" in name:
            nn.init.normal_(parameter, std=POSITION_STD)
        if name.startswith("t5.") and name.endswith((".o.weight", ".wo.weight")):
            parameter.mul_(RESIDUAL_INIT_SCALE)
    nn.init.normal_(network.word_table.weight, std=EMBEDDING_STD)
    if encoder.vit.class_token:
        nn.init.normal_(encoder.vit.cls_token, std=POSITION_STD)
    projection = encoder.vit.projection
    nn.init.normal_(projection, std=projection.shape[0] ** -0.5)
    if isinstance(encoder, ImageEncoder):
        _init_image_vit(encoder.vit)
    if isinstance(encoder, ObjectEncoder):
        for boxes in encoder.box_mlp.values():
            _init_rbf(*_linears(boxes))
    if isinstance(encoder, LatentEncoder):
        nn.init.normal_(encoder.perceiver.latents)
    network.observation_fusion.weight[:, :width] = torch.eye(width)
    if isinstance(controller, CrossAttentionController):
        for layer in controller.xattns:
            cross = cast(CrossAttention, layer)
            cross.key_value.weight[:width] = cross.query.weight
    if isinstance(controller, PrefixController):
        nn.init.normal_(controller.separator, std=POSITION_STD)
        for layer in controller.h:
            packed = cast(Block, layer).attn.c_attn.weight  # queries, keys, values
            packed[width : 2 * width] = packed[:width]
    if network.place_head is not None:
        nn.init.zeros_(network.place_head.query.weight)
    identical = encoder.output_width == config.t5_width == width
    if identical and config.prompt_object_hidden >= 2 * width:
        _init_identity(width, *_linears(network.prompt_object_mlp))
    return network


def load_matching_weights(
    config: VimaConfig, trained: VimaNetwork, seed: int = 0
) -> tuple[VimaNetwork, LoadedWeights]:
    """Build a network with another's weights where they fit; return it and their report.

    Weights of another size, such as the first layer for smaller patches, are initialized from
    ``seed``.
    """
    torch.manual_seed(seed)
    network = new_network(config)
    weights, known = network.state_dict(), trained.state_dict()
    anew = {}
    for name, value in weights.items():
        if name not in known:
            anew[name] = "not in the file"
        elif known[name].shape != value.shape:
            shapes = [" x ".join(map(str, w.shape)) for w in (known[name], value)]
            anew[name] = f"{shapes[0]} in the file, {shapes[1]} here"
    kept = {name: known[name] for name in weights if name not in anew}
    network.load_state_dict(weights | kept)
    unused = tuple(name for name in known if name not in weights)
    return network, LoadedWeights(len(kept), anew, unused)


def _linears(layers: nn.Module) -> list[nn.Linear]:
    """List the linear layers of an ``mlp`` of three."""
    return [layer for layer in layers.modules() if isinstance(layer, nn.Linear)]


def _init_identity(width: int, first: nn.Linear, second: nn.Linear, third: nn.Linear) -> None:
    """Initialize the MLP as the identity, with positive and negative parts apart."""
    both = torch.cat([torch.eye(width), -torch.eye(width)])
    first.weight[: 2 * width] = both
    second.weight[: 2 * width] = torch.eye(len(second.weight))[: 2 * width]
    third.weight.zero_()
    third.weight[:, : 2 * width] = both.T
    first.bias.zero_()
    second.bias.zero_()


def _init_image_vit(vit: ViT) -> None:
    """Initialize the vision transformer of whole images, which are nearly all table.

    A patch of one color is only its position, in sines and cosines of both axes (Vaswani et al.,
    2017); what stands out in one outweighs that. Blocks begin near the identity. A class token
    reads the sum of the patches, of which the table's cancel out.
    """
    width = len(vit.conv1.weight)
    vit.conv1.weight -= vit.conv1.weight.mean(dim=(2, 3), keepdim=True)
    vit.conv1.weight *= CONTRAST_GAIN
    columns = VIEW_IMAGE_SIZE[1] // vit.conv1.stride[0]
    patches = torch.arange(len(vit.pos_embed) - vit.class_token)
    quarter = -(-width // 4)
    shortest, longest = WAVELENGTHS
    frequencies = 2 * pi / shortest * (shortest / longest) ** torch.linspace(0, 1, quarter)
    x, y = (patches % columns)[:, None] * frequencies, (patches // columns)[:, None] * frequencies
    vit.pos_embed[int(vit.class_token) :] = torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], 1)[
        :, :width
    ]
    for module in vit.blocks:
        block = cast(ViTBlock, module)
        for layer in (block.mlp.c_proj, block.attn.out_proj):
            layer.weight *= RESIDUAL_INIT_SCALE
            layer.bias.zero_()
    if vit.class_token:
        last = cast(ViTBlock, vit.blocks[-1]).attn
        last.in_proj.weight[2 * width :] = torch.eye(width)  # values
        last.in_proj.bias.zero_()
        last.out_proj.weight[:] = len(patches) / 4 * torch.eye(width)


def _init_rbf(first: nn.Linear, second: nn.Linear, third: nn.Linear) -> None:
    """Initialize outputs as peaks: each is highest at one value of one box coordinate."""
    width = len(first.weight)
    counts = [width * part // sum(AXES) for part in AXES]
    counts[0] += width - sum(counts)
    nn.init.normal_(first.weight, std=0.02)
    nn.init.normal_(second.weight, std=0.02 * width**-0.5)
    nn.init.normal_(third.weight, std=0.1 * width**-0.5)
    for layer in (first, second, third):
        layer.bias.zero_()
    row = 0
    for axis, count in enumerate(counts):
        rows = torch.arange(row, row + count)
        first.weight[rows, axis] = float(count)
        first.bias[rows] = -count * torch.linspace(-1 / count, 1, count)
        second.weight[rows, rows] += 1.0
        second.weight[rows[:-1], rows[1:]] -= 2.0
        second.weight[rows[:-2], rows[2:]] += 1.0
        row += count
    third.weight += RBF_HEIGHT * torch.eye(width)
