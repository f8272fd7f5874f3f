"""Turns read from frames: the angle between two prompt frames of one object, as a word.

N object slots, E ``embed_dim``, D T5's width, n pairs of frames, C angles.

Specification: docs/vima_architecture.md, "Turn reader".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.object_encoder import mlp
from vima_ros.policy.tokenizer import number_words

HIDDEN = 256


class TurnReader(nn.Module):
    """Classifier of the angle of a pair of frames by the tokens of its object from above."""

    def __init__(self, config: VimaConfig) -> None:
        super().__init__()
        width = 2 * config.embed_dim
        self.words = list(number_words(config.turn_angles))
        self.norm = nn.LayerNorm(width)
        self.angles = mlp(width, HIDDEN, HIDDEN, len(self.words))

    def forward(self, objects: Tensor, turns: Tensor) -> Tensor:
        """Read pairs ``turns`` (n, 3), as ``PromptBatch`` has them, of tokens (N, E): (n, C)."""
        return self.angles(self.norm(objects[turns[:, :2]].flatten(1)))

    def insert_words(
        self, tokens: Tensor, logits: Tensor, turns: Tensor, word_table: Tensor
    ) -> Tensor:
        """Put the angles' number words in the place of the after frame's objects.

        ``tokens`` (N, D) of T5's input; by the angles' probabilities a mixture of words.
        """
        words = (logits.softmax(-1) @ word_table[self.words]).to(tokens.dtype)  # (n, D)
        in_front = turns[:, 2] >= 0
        places = torch.cat([turns[:, 1], turns[in_front, 2]])
        return tokens.index_copy(0, places, torch.cat([words, words[in_front]]))
