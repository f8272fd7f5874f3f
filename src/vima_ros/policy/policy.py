"""The policy seam: decisions from a prompt and observations, one step at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch

from vima_ros.decision_attention import DecisionAttention
from vima_ros.errors import VimaError
from vima_ros.policy.action_selection import BY_BINS, GROUNDED, decide, select_pick
from vima_ros.policy.inputs import PolicyInputs
from vima_ros.policy.kv_cache import (
    History,
    begin_history,
    find_picked_tokens,
    prepare_step,
    run_latents,
    run_step,
    step_tokens,
)
from vima_ros.policy.model.batching import collate_observations, collate_prompts
from vima_ros.policy.model.network import VimaNetwork
from vima_ros.policy.picked_object import Pick
from vima_ros.policy.step_attention import AttendingStep, ReadPrompt, read_attention
from vima_ros.policy.tokenizer import TokenizerIdentity
from vima_ros.specs import Action, Decision, EncodedPrompt, EndEffector, Observation


class Policy:
    """A session of the policy: ``reset`` with a prompt, then ``infer`` and ``record`` per step.

    ``miss`` instead where the pick found nothing.

    ``trained``: the weights come from a file. ``description``: sizes and origin, for people.
    ``tokenizer``: the one whose word ids the prompts must hold. ``pick``: how picks are chosen,
    one of PICKS (action_selection.py). ``prompt_time``: how long the last ``reset`` took [s].
    """

    def __init__(
        self,
        network: VimaNetwork,
        *,
        trained: bool,
        description: dict,
        tokenizer: TokenizerIdentity,
        pick: str = BY_BINS,
    ) -> None:
        self.network = network
        self.pick = pick
        self.trained = trained
        self.description = description
        self.tokenizer = tokenizer
        self.prompt_time = 0.0
        self._dtype = network.word_table.weight.dtype
        self._device = network.word_table.weight.device
        self._prompt: ReadPrompt | None = None
        self._history = begin_history(network)
        self._latest: tuple[Decision, History] | None = None
        self._missed: list[Action] = []  # since the last that was executed

    @property
    def inputs(self) -> PolicyInputs:
        """Kinds of prompt, observation and action that this policy declares."""
        return self.network.inputs

    def session(self) -> Policy:
        """Return a session of another episode on the same weights, for another robot, say."""
        return Policy(
            self.network,
            trained=self.trained,
            description=self.description,
            tokenizer=self.tokenizer,
            pick=self.pick,
        )

    def check_tokenizer(self, tokenizer: TokenizerIdentity) -> None:
        """Check that prompts of a tokenizer are meant for these weights.

        Raises VimaError (WRONG_TOKENIZER).
        """
        if tokenizer != self.tokenizer:
            raise VimaError(
                "WRONG_TOKENIZER",
                f"the prompt's tokenizer is another ({tokenizer}) than the checkpoint's; valid: "
                f"the one that it was trained with ({self.tokenizer})",
            )

    @torch.inference_mode()
    def reset(self, prompt: EncodedPrompt) -> None:
        """Begin an episode; the prompt is encoded here, once.

        An image may show its objects in one view only; the other view's slots are then padded.
        A prompt without images is allowed. (The published code crashes on both.)

        Raises VimaError, after which there is no prompt: UNREADABLE_PROMPT, NO_OBJECT or NO_IMAGES
        for what the policy does not read (``inputs``), UNKNOWN_WORD for a word id outside the word
        embedding, PROMPT_TOO_LONG for more tokens, padded slots included, than it has positions.
        """
        start = self.now()
        self._prompt, self._latest, self._missed = None, None, []
        self._history = begin_history(self.network)
        self.inputs.check_prompt(prompt)
        vocabulary = self.network.config.vocabulary
        unknown = [t for t in prompt.tokens if isinstance(t, int) and t >= vocabulary]
        if unknown:
            raise VimaError(
                "UNKNOWN_WORD",
                f"word ids {unknown} are outside the word embedding; valid: 0 to {vocabulary - 1} "
                "(is this the tokenizer that belongs to the checkpoint?)",
            )
        batch = collate_prompts([prompt], self.network.image_tokens, self.network.max_prompt)
        batch = batch.to(self._device)
        memory = self.network.read_prompt(batch)
        self._prompt = ReadPrompt(prompt, memory, self.network.named_image_tokens)
        self.prompt_time = self.now() - start

    def infer(self, observation: Observation, return_attention: bool = False) -> Decision:
        """Decide on the most probable action that was not missed; the episode stays as it is.

        A grounded pick lies on an object of the top view (``Decision.picked``); it is by the bins
        alone where no outline is known or all their bins were missed, and of the spatula.
        ``return_attention``: with ``Decision.attention``, of all layers; nothing is computed for
        it otherwise. ``Decision.timings`` has ``objects``, ``controller``, ``decoder`` and
        ``total`` [s], with attention also ``attention``, the time to read it. Dark crops are
        ordinary input, and so is a view without objects. (The published code crashes on both.)
        Raises VimaError: NO_PROMPT before ``reset``; NO_IMAGES for an observation without the
        images that the policy reads; NO_OBJECT for one without slots, or a first one without
        objects; HISTORY_FULL where the episode with this step has more tokens than there are
        positions for, padded slots included; NOT_FINITE if the network overflows; BAD_CONFIG
        where attention is asked of a policy that reads tokens through latents.
        """
        return self.infer_batch([self], [observation], return_attention)[0]

    @staticmethod
    @torch.inference_mode()
    def infer_batch(
        sessions: Sequence[Policy],
        observations: Sequence[Observation],
        return_attention: bool = False,
    ) -> list[Decision]:
        """Decide for several sessions at once, each with its own observation.

        Prompts, object counts and history lengths may differ; the decisions are what each session
        alone would get, up to float rounding. Their timings are those of the whole batch. Raises
        what ``infer`` raises, all sessions left as they were, and VimaError (BAD_BATCH) for
        sessions that do not share their weights or come twice.
        """
        if not 0 < len(set(map(id, sessions))) == len(sessions) == len(observations):
            raise VimaError(
                "BAD_BATCH",
                f"{len(sessions)} sessions ({len(set(map(id, sessions)))} different ones) and "
                f"{len(observations)} observations; valid: one observation for each, none twice",
            )
        if len({id(session.network) for session in sessions}) > 1:
            raise VimaError("BAD_BATCH", "sessions of several networks; valid: of one session()")
        prompts = [session._prompt for session in sessions if session._prompt is not None]
        if len(prompts) < len(sessions):
            raise VimaError("NO_PROMPT", "infer before reset; valid: reset with a prompt first")
        memories = [prompt.memory for prompt in prompts]
        first, histories = sessions[0], [session._history for session in sessions]
        network = first.network
        if return_attention:
            network.check_attention()
        steps = [
            prepare_step(history, seen, network.max_history(memory), network.image_tokens)
            for history, memory, seen in zip(histories, memories, observations, strict=True)
        ]
        times = [first.now()]
        batch = collate_observations(
            [[step.observation] for step in steps], network.image_tokens
        ).to(first._device)
        tokens, mask = network.encode_observations(batch)  # (B, 1, Q, E), (B, 1, Q)
        times.append(first.now())
        new = list(map(step_tokens, histories, steps, tokens[:, 0], mask[:, 0]))
        if network.history_reader is None:
            layers = range(network.config.xf_n_layers) if return_attention else ()
            out = run_step(network.controller, memories, histories, new, layers)
        else:
            out = run_latents(network, memories, histories, new)
        times.append(first.now())
        logits = network.action_decoder(out.predicted)
        arrays = {head: value.float().cpu().numpy() for head, value in logits.items()}  # (B, C)
        picks = [
            session._select_pick(arrays["pose0_position"][b], observations[b])
            for b, session in enumerate(sessions)
        ]
        if network.place_head is not None and out.place is not None:
            picked = find_picked_tokens(out.place, histories, observations, picks)
            logits = network.place_head(out.place, picked)
            arrays |= {head: value.float().cpu().numpy() for head, value in logits.items()}
        times.append(first.now())
        attention: list[DecisionAttention | None] = [None] * len(sessions)
        stages = ["objects", "controller", "decoder"]
        if out.scores is not None:
            attending = [
                AttendingStep(prompts[b], seen, len(new[b][0]), histories[b].action is not None)
                for b, seen in enumerate(observations)
            ]
            attention = [*read_attention(network, out.scores, attending)]
            times.append(first.now())
            stages.append("attention")
        spans = zip(stages, pairwise(times), strict=True)
        timings = {name: end - start for name, (start, end) in spans}
        timings["total"] = times[-1] - times[0]
        decisions = [
            decide(
                {head: rows[b] for head, rows in arrays.items()},
                picks[b],
                seen.end_effector,
                timings,
                attention[b],
            )
            for b, seen in enumerate(observations)
        ]
        for b, session in enumerate(sessions):
            steps_done, max_slots = histories[b].steps + 1, steps[b].max_slots
            after = out.histories[b]
            history = replace(after, steps=steps_done, max_slots=max_slots, action=None)
            session._latest = decisions[b], history
        return decisions

    @torch.inference_mode()
    def record(self, decision: Decision) -> None:
        """Record the latest decision, now executed, in the episode.

        Raises VimaError (NOT_LATEST) for any other decision, or the same one twice.
        """
        history = self._take(decision)
        self._missed = []
        fractions = torch.from_numpy(decision.action.fractions).to(self._device, self._dtype)
        action = self.network.action_encoder(fractions[None])  # (1, E)
        self._history = replace(history, action=action)

    def miss(self, decision: Decision) -> None:
        """Note that the latest pick found nothing: pick elsewhere until one is executed.

        A failed action leaves no trace in the history; on the same images the policy would decide
        the same for ever. Raises VimaError (NOT_LATEST) as ``record``.
        """
        self._take(decision)
        self._missed.append(decision.action)

    def _select_pick(self, scores: np.ndarray, observation: Observation) -> Pick:
        """Select the pick by the logits (150,) of its position."""
        picks = observation.end_effector is EndEffector.SUCTION
        grounded = picks and self.pick == GROUNDED
        return select_pick(scores, self._missed, observation.top if grounded else None)

    def _take(self, decision: Decision) -> History:
        """Return the history that the latest decision leads to, and forget the decision."""
        if self._latest is None or decision is not self._latest[0]:
            raise VimaError(
                "NOT_LATEST",
                "this decision cannot be recorded; valid: what the latest infer returned, once",
            )
        history, self._latest = self._latest[1], None
        return history

    def now(self) -> float:
        """Return the time [s], on a GPU after all queued work is done."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
