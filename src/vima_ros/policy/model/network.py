"""The VIMA network: prompt encoder, observation encoder, controller, action decoder.

B batch, P prompt tokens, L time steps, Q object slots of a step, T tokens of the history,
N object slots of the whole batch, E ``embed_dim``, D T5's width, C bins of a head, n decisions.

Specification: docs/vima_architecture.md, "Prompt encoding", "Observation encoding",
"Action encoding", "History sequence", "Action decoder", "Turn reader".
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from vima_ros.decision_attention import AttentionToken
from vima_ros.errors import VimaError
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.batching import EpisodeBatch, ObservationBatch, PromptBatch
from vima_ros.policy.model.conditioning import CONDITIONINGS
from vima_ros.policy.model.controller import (
    AttentionScores,
    PromptMemory,
    causal,
    position_ids,
)
from vima_ros.policy.model.heads import (
    PICK_HEADS,
    ActionDecoder,
    PlaceContext,
    PlaceHead,
    encode_boxes,
    place_context,
)
from vima_ros.policy.model.image_encoder import ImageEncoder
from vima_ros.policy.model.latents import MAX_LATENT_TOKENS, HistoryReader, LatentReader
from vima_ros.policy.model.object_encoder import mlp
from vima_ros.policy.model.turn_reader import TurnReader
from vima_ros.specs import HEAD_BINS, HEADS, EndEffector

EFFECTOR_WIDTH = 2  # docs/vima_architecture.md, "Observation encoding"


def t5_encoder(config: VimaConfig) -> nn.Module:
    """Build T5's encoder without a word embedding: its inputs are vectors."""
    # Here, because importing transformers takes seconds.
    from transformers.models.t5.configuration_t5 import T5Config
    from transformers.models.t5.modeling_t5 import T5EncoderModel

    encoder = T5EncoderModel(
        T5Config(
            vocab_size=1,
            eos_token_id=None,  # or T5Config warns: it is not in a vocabulary of one
            d_model=config.t5_width,
            d_kv=config.t5_head_width,
            d_ff=config.t5_feed_forward,
            num_layers=config.t5_layers,
            num_heads=config.t5_heads,
            relative_attention_num_buckets=config.t5_buckets,
            relative_attention_max_distance=config.t5_max_distance,
            layer_norm_epsilon=1e-6,
            feed_forward_proj="relu",
        )
    ).encoder
    encoder.embed_tokens = None  # type: ignore[assignment]  # words come from our own table
    return encoder


class ActionEncoder(nn.Module):
    """Encoder of an action as one token: an MLP per head, then joined."""

    def __init__(self, config: VimaConfig) -> None:
        super().__init__()
        hidden, width = config.action_hidden, config.action_width
        self.heads = nn.ModuleDict(
            {head: mlp(len(bins), hidden, width) for head, bins in HEAD_BINS.items()}
        )
        joined = width * len(HEAD_BINS)
        self.join = (
            nn.Identity() if joined == config.embed_dim else nn.Linear(joined, config.embed_dim)
        )

    def forward(self, fractions: Tensor) -> Tensor:
        """Encode ``Action.fractions`` (..., 12) float32 to (..., E)."""
        parts = fractions.split([len(bins) for bins in HEAD_BINS.values()], dim=-1)
        embedded = [net(part) for net, part in zip(self.heads.values(), parts, strict=True)]
        return self.join(torch.cat(embedded, dim=-1))


@dataclass(frozen=True)
class Outputs:
    """Outputs of the teacher-forced pass; ``attention`` where it was asked for."""

    logits: dict[str, Tensor]  # {head: (n, C)}
    predicted: Tensor  # (n, E), which the logits are decoded from
    objects: Tensor  # (N, E), all slots as tokens of the history
    attention: AttentionScores | None = None
    place: PlaceContext | None = None  # of a conditioned place
    encoded: Tensor | None = None  # (N, E), all slots as the object encoder has them


class VimaNetwork(nn.Module):
    """The complete network; ``forward`` is the batched, teacher-forced pass over whole episodes.

    An episode that runs (policy.py) composes the same parts, one step at a time.
    """

    def __init__(self, config: VimaConfig) -> None:
        super().__init__()
        self.config = config
        width, t5_width = config.embed_dim, config.t5_width
        hidden = config.prompt_object_hidden
        conditioning = CONDITIONINGS[config.conditioning]
        self.inputs = conditioning.inputs
        self.object_encoder = conditioning.encoder(config)  # or of images: published name of both
        read = self.object_encoder.output_width
        self.word_table = nn.Embedding(config.vocabulary, t5_width)
        self.prompt_object_mlp = mlp(read, hidden, hidden, t5_width)
        self.t5 = t5_encoder(config)
        self.prompt_projection = (
            nn.Identity() if t5_width == width else nn.Linear(t5_width, width, bias=False)
        )
        self.end_effector_embedding = nn.Embedding(len(EndEffector), EFFECTOR_WIDTH)
        self.observation_fusion = nn.Linear(read + EFFECTOR_WIDTH, width)
        self.action_encoder = ActionEncoder(config)
        self.prompt_reader = (
            LatentReader(t5_width, config.prompt_latents, config.perceiver_heads)
            if config.prompt_latents
            else None
        )
        self.history_reader = (
            HistoryReader(width, config.history_latents, config.perceiver_heads)
            if config.history_latents
            else None
        )
        self.controller = conditioning.controller(config)
        conditioned = config.place_head == "conditioned"
        self.action_decoder = ActionDecoder(config, PICK_HEADS if conditioned else HEADS)
        self.place_head = PlaceHead(config) if conditioned else None
        self.turn_reader = TurnReader(config) if config.turn_angles else None

    @property
    def image_tokens(self) -> int | None:
        """Number of tokens of an image pair; None where the network reads objects."""
        encoder = self.object_encoder
        return encoder.tokens if isinstance(encoder, ImageEncoder) else None

    @property
    def max_prompt(self) -> int:
        """Maximum number of tokens of a prompt; latents read a million."""
        return self.controller.max_prompt if self.prompt_reader is None else MAX_LATENT_TOKENS

    def max_history(self, prompt: PromptMemory) -> int:
        """Return the maximum number of history tokens after one prompt; latents read a million."""
        if self.history_reader is not None:
            return MAX_LATENT_TOKENS
        return self.controller.max_history(prompt)

    @property
    def named_image_tokens(self) -> tuple[AttentionToken, ...] | None:
        """Tokens of an image pair with their views; None where the network reads objects."""
        encoder = self.object_encoder
        return encoder.named_tokens if isinstance(encoder, ImageEncoder) else None

    def assemble_prompt(
        self, batch: PromptBatch, objects: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Assemble T5's input (B, P, D) and mask (B, P), words and objects in reading order.

        ``objects`` (N, E): ``batch.slots`` as the object encoder encodes them, where it has.
        """
        words = self.word_table(batch.words)  # (W, D)
        mask = torch.ones_like(batch.words, dtype=torch.bool)
        if len(batch.slots.mask):
            objects = self.object_encoder(batch.slots) if objects is None else objects
            shown = self.prompt_object_mlp(objects)
            logits = self.read_turns(batch, objects)
            if self.turn_reader is not None and logits is not None:
                table = self.word_table.weight
                shown = self.turn_reader.insert_words(shown, logits, batch.turns, table)
            words = torch.cat([words, shown])  # (W + N, D)
            mask = torch.cat([mask, batch.slots.mask])
        return _pick(words, mask, batch.rows)

    def read_turns(self, batch: PromptBatch, objects: Tensor) -> Tensor | None:
        """Read the angles of the prompts' pairs of frames, logits (n, C).

        ``objects`` as above. None where there are no pairs, or no reader.
        """
        if self.turn_reader is None or not len(batch.turns):
            return None
        return self.turn_reader(objects, batch.turns)

    def encode_prompt(
        self, batch: PromptBatch, objects: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode to tokens (B, P, E) and their mask (B, P); ``objects`` as above.

        With ``prompt_latents``, P is their number.
        """
        assembled, mask = self.assemble_prompt(batch, objects)
        if self.prompt_reader is not None:
            assembled = self.prompt_reader(assembled, mask)
            mask = mask.new_ones(assembled.shape[:2])
        encoded = self.t5(inputs_embeds=assembled, attention_mask=mask).last_hidden_state
        return self.prompt_projection(encoded), mask

    def read_prompt(self, batch: PromptBatch, objects: Tensor | None = None) -> PromptMemory:
        """Encode a prompt and compute what layers and heads read of it; ``objects`` as above."""
        memory = self.controller.read_prompt(*self.encode_prompt(batch, objects))
        if self.place_head is None:
            return memory
        return replace(memory, boxes=encode_boxes(batch))

    def encode_observations(self, batch: ObservationBatch) -> tuple[Tensor, Tensor]:
        """Encode the observations to tokens (B, L, Q, E) and their mask (B, L, Q) bool."""
        tokens = self._fuse(self.object_encoder(batch.slots), batch.end_effectors)  # (N, E)
        return _pick(tokens, batch.slots.mask, batch.rows)

    def _fuse(self, objects: Tensor, end_effectors: Tensor) -> Tensor:
        """Join object tokens (N, E) with their observation's end effector (N,), to (N, E)."""
        effectors = self.end_effector_embedding(end_effectors)  # (N, 2)
        return self.observation_fusion(torch.cat([objects, effectors], dim=-1))

    def assemble_history(self, batch: EpisodeBatch, objects: Tensor) -> tuple[Tensor, Tensor]:
        """Assemble the controller's input (B, T, E) and mask (B, T).

        ``objects`` (N, E): the slots as tokens of the history.
        """
        actions = self.action_encoder(batch.fractions)  # (A, E)
        slots_mask = batch.prompt.slots.mask
        mask = torch.cat([slots_mask, slots_mask.new_ones(len(actions))])
        return _pick(torch.cat([objects, actions]), mask, batch.rows)

    def forward(self, batch: EpisodeBatch, score_layers: Collection[int] = ()) -> Outputs:
        """Decide every step of every episode, given the actions before it.

        ``score_layers``: numbers of the layers to return the ``AttentionScores`` of, as training
        supervises them. Raises VimaError as ``check_attention``.
        """
        if score_layers:
            self.check_attention()
        encoded = self.object_encoder(batch.prompt.slots)  # (N, E)
        memory = self.read_prompt(batch.prompt, encoded)
        objects = self._fuse(encoded, batch.end_effectors)  # (N, E)
        tokens, mask = self.assemble_history(batch, objects)
        if self.history_reader is not None:
            latents = self.history_reader.read_all(tokens, mask, batch.reads)  # (n, M, E)
            predicted = self.predict(latents, memory.select(batch.reads // mask.shape[1]))
            logits = self.action_decoder(predicted)
            return Outputs(logits, predicted, objects, encoded=encoded)
        layers = {*score_layers, *memory.score_layers}
        out = self.controller(
            tokens, position_ids(mask), causal(mask), memory, score_layers=layers
        )
        predicted = out.tokens.flatten(0, 1)[batch.reads]  # (n, E)
        logits, place = self.action_decoder(predicted), place_context(out, memory, batch.reads)
        if self.place_head is not None and place is not None:
            logits |= self.place_head(place, batch.picked_tokens)
        return Outputs(logits, predicted, objects, out.attention, place, encoded)

    @property
    def attends_to_tokens(self) -> bool:
        """Return whether the layers attend to tokens, not to latents that have read them."""
        return self.prompt_reader is None and self.history_reader is None

    def check_attention(self) -> None:
        """Check that the layers attend to tokens. Raises VimaError (BAD_CONFIG)."""
        if not self.attends_to_tokens:
            raise VimaError(
                "BAD_CONFIG",
                "attention to tokens is asked of a network that reads them through latents; "
                "valid: prompt_latents 0 and history_latents 0",
            )

    def predict(self, latents: Tensor, memory: PromptMemory) -> Tensor:
        """Run latents (n, M, E) that have read n histories through the controller, to (n, E)."""
        count, width, _ = latents.shape
        every = torch.ones(count, width, width, dtype=torch.bool, device=latents.device)
        return self.controller(latents, position_ids(every[:, 0]), every, memory).tokens[:, -1]


def _pick(tokens: Tensor, mask: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Gather tokens (..., E) and mask (...) at ``rows`` (...), where row 0 is the padding."""
    tokens = torch.cat([tokens.new_zeros(1, tokens.shape[-1]), tokens])
    mask = torch.cat([mask.new_zeros(1), mask])
    return tokens[rows], mask[rows]


def init_weights(network: nn.Module, seed: int) -> None:
    """Draw weights from ``seed`` alone: unit norms, zero biases, the rest scaled by fan-in."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(network.named_parameters()):
            if parameter.ndim == 1:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
            else:
                values = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(values * parameter[0].numel() ** -0.5)
