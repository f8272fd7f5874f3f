"""Names, layouts and unused tensors of published checkpoints, by conditioning.

docs/vima_architecture.md, "Published checkpoints".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from vima_ros.policy.config import VimaConfig
from vima_ros.specs import HEADS, MAX_PROMPT_TOKENS

# Beginning of a published name -> ours; what is not here has its published name.
RENAMED = {
    "obj_encoder.peceiver.model.embeddings.latents": "object_encoder.perceiver.latents",
    "obj_encoder.peceiver.model.encoder.": "object_encoder.perceiver.",
    "obj_encoder.cropped_img_encoder.vit.": "object_encoder.vit.",
    "obj_encoder.bbox_mlp.": "object_encoder.box_mlp.",
    "obj_encoder.pre_transformer_layer.": "object_encoder.join.",
    "prompt_embedding._embed_layer.": "word_table.",
    "prompt_obj_post_layer.": "prompt_object_mlp.",
    "t5_prompt_encoder.t5.encoder.": "t5.",
    "t5_prompt_encoder_post_layer.": "prompt_projection.",
    "end_effector_encoder.": "end_effector_embedding.",
    "obs_fusion_layer.": "observation_fusion.",
    "action_encoder._post_layer.": "action_encoder.join.",
    "prompt_sep_token": "controller.separator",
}
for _head in HEADS:
    RENAMED[f"action_encoder._embed_dict.{_head}._layer."] = f"action_encoder.heads.{_head}."
    RENAMED[f"action_decoder._decoders.{_head}.mlps."] = f"action_decoder.heads.{_head}."

# Within a name: published, ours.
VIT_IN_PROJ = (".attn.in_proj_", ".attn.in_proj.")
PERCEIVER = {
    "attention.self.layernorm1.": "query_norm.",
    "attention.self.layernorm2.": "token_norm.",
    "attention.self.": "",  # query, key, value
    "attention.output.dense.": "attention_out.",
    "layernorm.": "ln.",
    "mlp.dense": "linear",
}
PERCEIVER_LAYER = r"object_encoder\.perceiver\.(?:cross_attention|self_attends\.\d+)\."

# Stored (in, out) where torch's linear layers have (out, in).
TRANSPOSED = re.compile(r"controller\.h\.\d+\.(attn|mlp)\.c_(attn|proj|fc)\.weight")

# T5's own word embeddings, which are not used.
T5_WORD_EMBEDDINGS = (
    "t5_prompt_encoder.t5.shared.weight",
    "t5_prompt_encoder.t5.encoder.embed_tokens.weight",
)
TOKENS_EMBED = "transformer.lm.tokens_embed.weight"  # of gpt and gato; not used either

CROSS_ATTENTION, PREFIX = "xattn_gpt.", "transformer.lm."  # published names of the controller
# Published name of a size in ``cfg`` -> ours.
_PREFIX_CFG = {
    "embed_dim": "embed_dim",
    "n_positions": "max_positions",
    "n_layer": "xf_n_layers",
    "n_head": "sattn_n_heads",
}
CFG = {
    "vima": {
        name: name for name in ("embed_dim", "xf_n_layers", "sattn_n_heads", "xattn_n_heads")
    },
    "gpt": _PREFIX_CFG,
    "gato": _PREFIX_CFG,
    "flamingo": {
        "embed_dim": "embed_dim",
        "dt_n_layers": "xf_n_layers",
        "dt_n_heads": "sattn_n_heads",
        "xattn_n_heads": "xattn_n_heads",
    },
}
VOCABULARY_SIZE = "vocab_size"  # in the cfg of gpt and gato: rows of TOKENS_EMBED


def controller_name(conditioning: str) -> str:
    """Return the beginning of the controller's published names."""
    return PREFIX if conditioning in ("gpt", "gato") else CROSS_ATTENTION


def our_name(published: str) -> str:
    """Convert a published name, without ``policy.``, to ours."""
    table = [*RENAMED.items(), (CROSS_ATTENTION, "controller."), (PREFIX, "controller.")]
    name = _renamed(published, table).replace(*VIT_IN_PROJ)
    return _in_perceiver(name, PERCEIVER)


def published_name(ours: str, conditioning: str) -> str:
    """Convert our name of a tensor to the published one, without ``policy.``."""
    if match := re.match(PERCEIVER_LAYER + r"(query|key|value)\.", ours):
        at = match.start(1)
        name = ours[:at] + "attention.self." + ours[at:]
    else:
        name = _in_perceiver(ours, {new: old for old, new in PERCEIVER.items() if new})
    table = [(new, old) for old, new in RENAMED.items()]
    table.append(("controller.", controller_name(conditioning)))
    return _renamed(name.replace(*VIT_IN_PROJ[::-1]), table)


def transposed(ours: str, tensor: Tensor) -> Tensor:
    """Convert between the published layout and ours, in either direction; a view, no copy."""
    return tensor.t() if TRANSPOSED.fullmatch(ours) else tensor


def buffers(config: VimaConfig) -> dict[str, Tensor]:
    """Return the stored tensors that are no weights: index ranges and causal masks."""
    name = controller_name(config.conditioning)
    count = config.max_positions
    lower = torch.ones(1, 1, count, count).tril()
    stored = {f"{name}position_ids": torch.arange(count)}
    stored |= {f"{name}h.{i}.attn.bias": lower for i in range(config.xf_n_layers)}
    if name == CROSS_ATTENTION:
        prompt = torch.arange(MAX_PROMPT_TOKENS)
        stored[f"{name}xattn_position_ids"] = prompt
        for i in range(config.xf_n_layers):
            stored[f"{name}xattns.{i}.kv_position_ids"] = prompt
    return stored


def _renamed(name: str, table: Iterable[tuple[str, str]]) -> str:
    for old, new in table:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _in_perceiver(name: str, table: Mapping[str, str]) -> str:
    match = re.match(PERCEIVER_LAYER, name)
    if match is None:
        return name
    return match[0] + _renamed(name[match.end() :], table.items())
