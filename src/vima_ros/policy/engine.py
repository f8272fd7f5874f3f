"""The seam: a prompt and observations in, decisions out, one step at a time.

Only the newest step is computed. Prompt keys and values are kept for the episode, and so are those
of the valid history tokens; masked tokens are never attended to, so they need not be kept
(VIMA_SPEC item 29).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vima_ros.errors import VimaError
from vima_ros.policy.batches import collate_observations, collate_prompts
from vima_ros.policy.controller import KeysValues, PromptMemory
from vima_ros.policy.network import VimaNetwork
from vima_ros.specs import (
    HEAD_BINS,
    MAX_HISTORY_TOKENS,
    Action,
    Decision,
    EncodedPrompt,
    EndEffector,
    Observation,
    Primitive,
)


@dataclass(frozen=True)
class History:
    """What was executed so far, as the controller needs it."""

    steps: int = 0
    widest: int = 0  # object slots of the step with the most
    length: int = 0  # valid tokens, which is also the next position
    past: tuple[KeysValues, ...] | None = None  # of those tokens
    action: Tensor | None = None  # (1, E), the last action; not yet in ``past``


class Policy:
    """``reset`` with a prompt, then for each step ``infer`` and, once executed, ``record``.

    ``trained``: the weights come from a file. ``description``: sizes and origin, for people.
    ``tokenizer``: path of the tokenizer whose word ids the prompts must hold. ``prompt_time``: how
    long the last ``reset`` took [s].
    """

    def __init__(
        self, network: VimaNetwork, *, trained: bool, description: dict, tokenizer: str
    ) -> None:
        self.network = network
        self.trained = trained
        self.description = description
        self.tokenizer = tokenizer
        self.prompt_time = 0.0
        self._device = next(network.parameters()).device
        self._prompt: PromptMemory | None = None
        self._history = History()
        self._latest: tuple[Decision, History] | None = None

    @torch.inference_mode()
    def reset(self, prompt: EncodedPrompt) -> None:
        """Begin an episode; the prompt is encoded here, once.

        A picture may show its objects in one view only; the other view's slots are then padded.
        A prompt without pictures is allowed. (The published code crashes on both.)

        Raises VimaError, after which there is no prompt: NO_OBJECT for a picture without any
        object, UNKNOWN_WORD for a word id outside the word table, PROMPT_TOO_LONG for more than
        256 tokens, padded slots included.
        """
        start = self._now()
        self._prompt, self._history, self._latest = None, History(), None
        for image in prompt.images:
            if len(image.front) + len(image.top) == 0:
                raise VimaError(
                    "NO_OBJECT",
                    f"picture {{{image.name}}} shows no object in either view; valid: 1 or more",
                )
        vocabulary = self.network.config.vocabulary
        unknown = [t for t in prompt.tokens if isinstance(t, int) and t >= vocabulary]
        if unknown:
            raise VimaError(
                "UNKNOWN_WORD",
                f"word ids {unknown} are outside the word table; valid: 0 to {vocabulary - 1} "
                "(is this the tokenizer that belongs to the checkpoint?)",
            )
        batch = collate_prompts([prompt]).to(self._device)
        self._prompt = self.network.controller.read_prompt(*self.network.encode_prompt(batch))
        self.prompt_time = self._now() - start

    @torch.inference_mode()
    def infer(self, observation: Observation) -> Decision:
        """The most probable action, and nothing changes until it is recorded.

        ``Decision.timings`` has ``objects``, ``controller``, ``decoder`` and ``total`` [s]. Dark
        crops are ordinary input, and so is a view without objects. (The published code crashes on
        both.) Raises VimaError: NO_PROMPT before ``reset``; NO_OBJECT for an observation without
        slots, or a first one without objects; HISTORY_FULL where the episode with this step has
        more than 512 tokens, padded slots included; NOT_FINITE if the network overflows.
        """
        prompt = self._prompt
        if prompt is None:
            raise VimaError("NO_PROMPT", "infer before reset; valid: reset with a prompt first")
        widest = self._checked_width(observation)
        start = self._now()
        batch = collate_observations([[observation]]).to(self._device)
        tokens, mask = self.network.encode_observations(batch)
        objects = self._now()
        predicted, pending = self._step(tokens[0, 0], mask[0, 0], widest, prompt)
        controller = self._now()
        logits = self.network.action_decoder(predicted)
        arrays = {head: value.cpu().numpy() for head, value in logits.items()}
        end = self._now()
        timings = {
            "objects": objects - start,
            "controller": controller - objects,
            "decoder": end - controller,
            "total": end - start,
        }
        decision = decide(arrays, observation.end_effector, timings)
        self._latest = (decision, pending)
        return decision

    @torch.inference_mode()
    def record(self, decision: Decision) -> None:
        """Make the latest decision, now executed, part of the episode.

        Raises VimaError (NOT_LATEST) for any other decision, or the same one twice.
        """
        if self._latest is None or decision is not self._latest[0]:
            raise VimaError(
                "NOT_LATEST",
                "this decision cannot be recorded; valid: what the latest infer returned, once",
            )
        fractions = torch.from_numpy(decision.action.fractions).to(self._device)
        action = self.network.action_encoder(fractions[None])  # (1, E)
        self._history, self._latest = replace(self._latest[1], action=action), None

    def _checked_width(self, observation: Observation) -> int:
        """Object slots that every step of the episode is padded to, this one included."""
        history, slots = self._history, sum(observation.slot_counts)
        if slots == 0 or (
            history.steps == 0 and len(observation.front) + len(observation.top) == 0
        ):
            raise VimaError(
                "NO_OBJECT",
                f"step {history.steps} shows {len(observation.front)} objects in front and "
                f"{len(observation.top)} in top, in {slots} slots; valid: 1 or more",
            )
        widest = max(history.widest, slots)
        length = (history.steps + 1) * widest + history.steps
        if length > MAX_HISTORY_TOKENS:
            raise VimaError(
                "HISTORY_FULL",
                f"step {history.steps} makes the episode {length} tokens long ({widest} object "
                f"slots a step, and the actions); valid: at most {MAX_HISTORY_TOKENS}",
            )
        return widest

    def _step(
        self, tokens: Tensor, mask: Tensor, widest: int, prompt: PromptMemory
    ) -> tuple[Tensor, History]:
        """Output at the step's last slot (E,), and the history with this step, its action missing.

        ``tokens`` (Q, E) and ``mask`` (Q,), not yet padded to ``widest`` slots. The last slot is
        computed even when it is masked or a zero pad: it then asks, and is not kept.
        """
        history = self._history
        padded = len(tokens) < widest
        new = tokens[mask]  # (valid, E)
        if history.action is not None:
            new = torch.cat([history.action, new])
        length = history.length + len(new)
        if padded or not mask[-1]:
            last = torch.zeros_like(tokens[-1:]) if padded else tokens[-1:]
            new = torch.cat([new, last])
        end = history.length + len(new)
        positions = torch.arange(history.length, end, device=self._device).clamp(max=length - 1)
        attend = torch.ones(len(new), end, dtype=torch.bool, device=self._device)
        attend = attend.tril(history.length)
        attend[:, length:] = False
        out, layers = self.network.controller(
            new[None], positions[None], attend[None], prompt, history.past
        )
        past = tuple((keys[:, :, :length], values[:, :, :length]) for keys, values in layers)
        return out[0, -1], History(history.steps + 1, widest, length, past)

    def _now(self) -> float:
        """Seconds; on a GPU, once what was asked for is done."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def decide(
    logits: Mapping[str, np.ndarray], end_effector: EndEffector, timings: Mapping[str, float]
) -> Decision:
    """The decision of greatest probability. The spatula sweeps, the suction cup picks and places.

    ``logits``: {head: (C,) float32} as in specs.py. Raises VimaError (NOT_FINITE).
    """
    bins, confidence = [], []
    for head, counts in HEAD_BINS.items():
        for part in np.split(logits[head], np.cumsum(counts)[:-1]):
            if not np.isfinite(part).all():
                raise VimaError("NOT_FINITE", f"logits of {head} are not finite; valid: numbers")
            best = int(part.argmax())
            bins.append(best)
            confidence.append(1.0 / np.exp(part - part[best], dtype=np.float64).sum())
    sweeps = end_effector is EndEffector.SPATULA
    primitive = Primitive.SWEEP if sweeps else Primitive.PICK_PLACE
    return Decision(Action(np.array(bins), primitive), np.array(confidence), logits, timings)
