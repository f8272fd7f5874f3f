"""Conditioning by cross-attention: every layer of the history attends to the prompt.

VIMA's way, and Flamingo's. Specification: docs/vima_architecture.md, "Controller layers".
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.attention import KeyValue, attention, attention_scores, split_heads
from vima_ros.policy.model.controller import Controller, LayerOutput, PromptMemory, position_ids
from vima_ros.specs import MAX_PROMPT_TOKENS


class CrossAttention(nn.Module):
    """Cross-attention from the history to the prompt, then a gated feed-forward."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.layernorm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.ln = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, 4 * width, bias=False)
        self.gated_layer = nn.Linear(width, 4 * width, bias=False)
        self.linear2 = nn.Linear(4 * width, width, bias=False)

    def keys_values(self, prompt: Tensor) -> KeyValue:
        """Compute keys and values of the prompt (B, P, E), which is not normalized here."""
        keys, values = self.key_value(prompt).chunk(2, dim=-1)
        return split_heads(keys, self.heads), split_heads(values, self.heads)

    def forward(
        self, x: Tensor, prompt: KeyValue, attend: Tensor, return_scores: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Map (B, T, E) to the same shape, with the scores where wanted; ``attend`` (B, 1, P)."""
        query = split_heads(self.query(self.layernorm(x)), self.heads)
        y = x + self.attention_out(attention(query, prompt, attend))
        # The gate sees y before the norm.
        hidden = F.gelu(self.linear1(self.ln(y))) * self.gated_layer(y)
        scores = attention_scores(query, prompt[0], attend) if return_scores else None
        return y + self.linear2(hidden), scores


class CrossAttentionController(Controller):
    """Layers of cross-attention to the prompt, then self-attention over the history."""

    def __init__(self, config: VimaConfig) -> None:
        super().__init__(config)
        width, self.max_prompt = config.embed_dim, MAX_PROMPT_TOKENS
        self.xattn_positions_embed = nn.Embedding(MAX_PROMPT_TOKENS, width)
        self.xattns = nn.ModuleList(CrossAttention(width, config.xattn_n_heads) for _ in self.h)

    def read_prompt(self, tokens: Tensor, mask: Tensor) -> PromptMemory:
        """Compute keys and values of prompt tokens (B, P, E) and their mask (B, P)."""
        prompt = tokens + self.xattn_positions_embed(position_ids(mask))
        memory = (layer.keys_values(prompt) for layer in self.xattns)  # type: ignore[operator]
        return PromptMemory(tuple(memory), mask[:, None])

    def first_position(self, prompt: PromptMemory) -> int:
        """Return 0: prompt and history count their positions apart."""
        return 0

    def attention_weights(self, prompt: Tensor, history: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the weights of the cross-attention and of the self-attention: each sums to 1."""
        return prompt.softmax(-1), history.softmax(-1)

    def layer(
        self,
        number: int,
        x: Tensor,
        attend: Tensor,
        prompt: PromptMemory,
        cached: KeyValue | None,
        return_scores: bool,
    ) -> LayerOutput:
        """Attend to the prompt, then to the history."""
        informed, prompt_scores = self.xattns[number](
            x, prompt.layers[number], prompt.attend, return_scores
        )
        out, keys_values, scores = self.h[number](informed, attend, cached, return_scores)
        return LayerOutput(out, keys_values, prompt_scores, scores, informed)
