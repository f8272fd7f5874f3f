"""Sizes of the VIMA network."""

from __future__ import annotations

from dataclasses import dataclass, fields

from vima_ros.errors import VimaError
from vima_ros.specs import CROP_SIZE

DTYPES = ("float32", "bfloat16", "int8")  # what a policy can compute in; int8 on a CPU only


@dataclass(frozen=True)
class VimaConfig:
    """Every size of the network; the defaults are the published 200M model (VIMA_SPEC, sizes).

    The first four are what a published checkpoint's ``cfg`` says, under the same names. Raises
    VimaError (BAD_CONFIG) for a size that is not a positive int or heads that do not divide.
    """

    embed_dim: int = 768  # width of the controller and of object tokens
    xf_n_layers: int = 11  # each is one cross-attention and one self-attention layer
    sattn_n_heads: int = 24
    xattn_n_heads: int = 24

    vit_width: int = 768
    vit_layers: int = 4
    vit_heads: int = 24
    vit_output: int = 768
    vit_patch: int = 16  # [px]
    box_width: int = 768  # hidden and output

    action_hidden: int = 256
    action_width: int = 256  # of each of the four heads
    decoder_hidden: int = 512

    prompt_object_hidden: int = 768
    vocabulary: int = 32128  # rows of the word table; T5's tokenizer uses 32100 of them
    t5_width: int = 768
    t5_layers: int = 12
    t5_heads: int = 12
    t5_head_width: int = 64
    t5_feed_forward: int = 3072
    t5_buckets: int = 32  # relative positions
    t5_max_distance: int = 128

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if type(value) is not int or value < 1:
                raise VimaError("BAD_CONFIG", f"{item.name} is {value!r}; valid: an int above 0")
        divisors = {
            "sattn_n_heads": self.embed_dim,
            "xattn_n_heads": self.embed_dim,
            "vit_heads": self.vit_width,
            "vit_patch": CROP_SIZE,
        }
        for name, width in divisors.items():
            if width % getattr(self, name):
                raise VimaError(
                    "BAD_CONFIG", f"{name} is {getattr(self, name)}; valid: a divisor of {width}"
                )
        # Half of the buckets are for each direction, and half of those for single tokens.
        exact = self.t5_buckets // 4
        if exact < 1 or self.t5_max_distance <= exact:
            raise VimaError(
                "BAD_CONFIG",
                f"t5_max_distance is {self.t5_max_distance} and t5_buckets {self.t5_buckets}; "
                "valid: 4 buckets or more, and a distance above a quarter of them",
            )


# The seven published sizes (VIMA_SPEC); the rest is the same for all.
PUBLISHED = {
    "2M": VimaConfig(256, 1, 8, 8),
    "4M": VimaConfig(256, 2, 8, 8),
    "9M": VimaConfig(320, 3, 10, 10),
    "20M": VimaConfig(384, 4, 12, 12),
    "43M": VimaConfig(512, 5, 16, 16),
    "92M": VimaConfig(640, 7, 20, 20),
    "200M": VimaConfig(768, 11, 24, 24),
}
