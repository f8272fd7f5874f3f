"""Sizes of the VIMA network (docs/vima_architecture.md, "Network sizes")."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from math import gcd
from typing import Any

from vima_ros.errors import FieldError, VimaError
from vima_ros.specs import CROP_SIZE, MAX_HISTORY_TOKENS, MAX_PROMPT_TOKENS, VIEW_IMAGE_SIZE

DTYPES = ("float32", "bfloat16", "int8")  # what a policy can compute in; int8 on a CPU only


MAX_WIDTH, MAX_LAYERS, MAX_ROWS = 1 << 14, 256, 1 << 20  # of what is trained by a recipe


def _size(default: int, description: str, high: int = MAX_WIDTH, low: int = 1) -> Any:
    """Declare a field of a recipe's section ``network`` (training/recipes.py)."""
    return field(default=default, metadata={"description": description, "low": low, "high": high})


CONDITIONINGS = ("vima", "gpt", "gato", "flamingo")  # model/conditioning
PLACE_HEADS = ("independent", "conditioned")  # model/heads.py
WORDS = {"conditioning": CONDITIONINGS, "place_head": PLACE_HEADS}


@dataclass(frozen=True)
class VimaConfig:
    """Conditioning and every size of the network; the defaults are the published 200M model.

    The first four sizes are in a published checkpoint's ``cfg`` under the same names. Sizes of
    parts that a conditioning does not have are ignored. Raises FieldError for an unknown
    conditioning, a size that is not a positive int, or heads that do not divide.
    """

    embed_dim: int = _size(768, "width of the controller and of object tokens")
    xf_n_layers: int = _size(
        11, "layers, each one of cross-attention and one of self-attention", MAX_LAYERS
    )
    sattn_n_heads: int = _size(24, "heads of self-attention; divides embed_dim")
    xattn_n_heads: int = _size(24, "heads of cross-attention; divides embed_dim")

    vit_width: int = _size(768, "width of the vision transformer that reads crops or whole images")
    vit_layers: int = _size(4, "layers of that transformer", MAX_LAYERS)
    vit_heads: int = _size(24, "heads of that transformer; divides vit_width")
    vit_output: int = _size(768, "width of its output, one vector per crop")
    vit_patch: int = _size(
        16,
        f"side of the patches of a crop or whole image [px]; divides {CROP_SIZE}, or "
        f"{gcd(*VIEW_IMAGE_SIZE)} where images are read whole",
    )
    box_width: int = _size(768, "width of the MLP that reads boxes, hidden and output")

    action_hidden: int = _size(256, "hidden width of the MLPs that read the last action")
    action_width: int = _size(256, "output width of each of these MLPs")
    decoder_hidden: int = _size(512, "hidden width of the heads that decide")

    prompt_object_hidden: int = _size(768, "hidden width of the MLP for the prompt's images")
    vocabulary: int = _size(
        32128, "rows of the word embedding, at least the tokenizer's words (T5's: 32100)", MAX_ROWS
    )
    t5_width: int = _size(768, "width of the prompt encoder")
    t5_layers: int = _size(12, "layers of the prompt encoder", MAX_LAYERS)
    t5_heads: int = _size(12, "heads of the prompt encoder")
    t5_head_width: int = _size(64, "width of each of these heads")
    t5_feed_forward: int = _size(3072, "hidden width of the prompt encoder's MLPs")
    t5_buckets: int = _size(
        32, "relative positions that the prompt encoder distinguishes, 4 or more"
    )
    t5_max_distance: int = _size(
        128, "distance of tokens from which on all are one position; above a quarter of t5_buckets"
    )

    conditioning: str = field(
        default="vima",
        metadata={
            "description": "how the network takes from the prompt: " + ", ".join(CONDITIONINGS),
            "valid": CONDITIONINGS,
        },
    )
    max_positions: int = _size(
        MAX_HISTORY_TOKENS,
        "positions of the history; gpt and gato: of prompt, separator and history together",
    )
    perceiver_latents: int = _size(4, "tokens per image pair of flamingo")
    perceiver_heads: int = _size(
        8, "heads by which latents read; divides embed_dim, with prompt_latents t5_width"
    )
    perceiver_layers: int = _size(
        4, "layers in each block of flamingo's Perceiver, which share them", MAX_LAYERS
    )
    perceiver_blocks: int = _size(4, "blocks of flamingo's Perceiver", MAX_LAYERS)
    prompt_latents: int = _size(
        0, "learned latents that read the prompt for T5, of any conditioning; 0: none", low=0
    )
    history_latents: int = _size(
        0, "learned latents that read the history for the controller; 0: none", low=0
    )

    place_head: str = field(
        default="independent",
        metadata={
            "description": "how the second pose is decided: independent, by heads like the first "
            "pose's, or conditioned on the picked object; of vima without latents",
            "valid": PLACE_HEADS,
        },
    )
    place_hidden: int = _size(256, "hidden width of the heads of a conditioned place")
    turn_angles: tuple[int, ...] = field(
        default=(),
        metadata={
            "description": "clockwise angles from above [deg] that are read from pairs of prompt "
            "frames of one object, as of twist, such as [30, 60, 90, 120, 150]; [] for none; of "
            "vima with the bundled tokenizer",
            "low": 1,
            "high": 359,
        },
    )

    def __post_init__(self) -> None:
        for name, valid in WORDS.items():
            if getattr(self, name) not in valid:
                raise FieldError(
                    f"{name} is {getattr(self, name)!r}; valid: {', '.join(valid)}", name
                )
        for name, low in SIZES.items():
            value = getattr(self, name)
            if type(value) is not int or value < low:
                raise FieldError(f"{name} is {value!r}; valid: an int from {low}", name)
        divisors = {
            "sattn_n_heads": self.embed_dim,
            "vit_heads": self.vit_width,
            "vit_patch": CROP_SIZE if self.conditioning == "vima" else gcd(*VIEW_IMAGE_SIZE),
        }
        if self.conditioning in ("vima", "flamingo"):
            divisors["xattn_n_heads"] = self.embed_dim
        if self.conditioning == "flamingo" or self.history_latents:
            divisors["perceiver_heads"] = self.embed_dim
        if self.prompt_latents:
            divisors["perceiver_heads"] = gcd(
                divisors.get("perceiver_heads", self.t5_width), self.t5_width
            )
        for name, width in divisors.items():
            if width % getattr(self, name):
                raise FieldError(
                    f"{name} is {getattr(self, name)}; valid: a divisor of {width}", name
                )
        for name, most in self._max_latents().items():
            if getattr(self, name) > most:
                raise FieldError(
                    f"{name} is {getattr(self, name)}; valid: at most {most}, as many as the "
                    "controller has positions for",
                    name,
                )
        latents = self.prompt_latents or self.history_latents
        if self.place_head == "conditioned" and (self.conditioning != "vima" or latents):
            raise FieldError(
                f"place_head is conditioned with conditioning {self.conditioning}, prompt_latents "
                f"{self.prompt_latents} and history_latents {self.history_latents}; valid: with "
                "vima and no latents, whose tokens are objects",
                "place_head",
            )
        self._check_turn_angles()
        # Half of the buckets are for each direction, and half of those for single tokens.
        exact = self.t5_buckets // 4
        if exact < 1 or self.t5_max_distance <= exact:
            raise FieldError(
                f"t5_max_distance is {self.t5_max_distance} and t5_buckets {self.t5_buckets}; "
                "valid: 4 buckets or more, and a distance above a quarter of them",
                "t5_max_distance",
            )

    def _check_turn_angles(self) -> None:
        """Check the angles; a list becomes a tuple. Raises FieldError."""
        angles = self.turn_angles
        valid = "different whole numbers from 1 to 359"
        if not isinstance(angles, list | tuple) or not all(
            type(angle) is int and 1 <= angle <= 359 for angle in angles
        ):
            raise FieldError(f"turn_angles is {angles!r}; valid: {valid}", "turn_angles")
        object.__setattr__(self, "turn_angles", tuple(angles))
        if not angles:
            return
        if len(set(angles)) < len(angles):
            raise FieldError(f"turn_angles is {list(angles)}; valid: {valid}", "turn_angles")
        # Here, because few need it and it loads a tokenizer.
        from vima_ros.policy.tokenizer import bundled_tokenizer, number_words

        words = bundled_tokenizer().words
        if self.conditioning != "vima" or self.vocabulary != words:
            raise FieldError(
                f"turn_angles is {list(angles)} with conditioning {self.conditioning} and "
                f"vocabulary {self.vocabulary}; valid: with vima, whose tokens are objects, and "
                f"the bundled tokenizer, which has {words} words",
                "turn_angles",
            )
        try:
            number_words(self.turn_angles)
        except VimaError as error:
            raise FieldError(f"turn_angles: {error}", "turn_angles") from error

    def _max_latents(self) -> dict[str, int]:
        """Return how many latents there are positions for, of each kind."""
        if self.conditioning in ("vima", "flamingo"):
            return {
                "prompt_latents": MAX_PROMPT_TOKENS,
                "history_latents": self.max_positions,
            }
        left = self.max_positions - 1 - max(1, self.history_latents)  # beside the separator
        return {"history_latents": self.max_positions - 2, "prompt_latents": left}


# Name of each size and the least it may be.
SIZES: dict[str, int] = {
    item.name: item.metadata["low"]
    for item in fields(VimaConfig)
    if "low" in item.metadata and item.name != "turn_angles"
}

# The seven published sizes; the rest is the same for all.
PUBLISHED = {
    "2M": VimaConfig(256, 1, 8, 8),
    "4M": VimaConfig(256, 2, 8, 8),
    "9M": VimaConfig(320, 3, 10, 10),
    "20M": VimaConfig(384, 4, 12, 12),
    "43M": VimaConfig(512, 5, 16, 16),
    "92M": VimaConfig(640, 7, 20, 20),
    "200M": VimaConfig(768, 11, 24, 24),
}
