"""The network and the seam against the recorded arrays of the published VIMA code."""

import numpy as np
import policy_goldens as goldens
import pytest
import torch
from policy_episodes import whole
from policy_goldens import ATOL, STEPS

from vima_ros.geometry import Workspace
from vima_ros.policy import load_policy
from vima_ros.policy.model.batching import collate_observations, collate_prompts
from vima_ros.policy.model.controller import position_ids
from vima_ros.specs import BINS, HEADS, Action


@pytest.fixture(scope="module")
def golden():
    return goldens.arrays()


@pytest.fixture(scope="module")
def network():
    return load_policy(goldens.checkpoint(), config=goldens.CONFIG).network


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module", params=["", "batch2/"])
def prompt(request):
    return request.param, collate_prompts(goldens.prompts(request.param))


def close(got, want):
    np.testing.assert_allclose(np.asarray(got), want, rtol=0, atol=ATOL)


def equal(got, want):
    np.testing.assert_array_equal(np.asarray(got), want)


def test_prompt_objects_are_encoded_as_published(network, golden, prompt):
    prefix, batch = prompt
    rows, words = collated_images(batch), len(batch.words)
    objects = network.object_encoder(batch.slots)
    close(objects[rows - 1 - words], golden[f"{prefix}prompt/debug/obj_tokens"])
    close(
        network.prompt_object_mlp(objects)[rows - 1 - words],
        golden[f"{prefix}prompt/debug/obj_post"],
    )


def collated_images(batch):
    """Rows of the pictures' slots, (images, Q)."""
    images = torch.sort(batch.rows[batch.rows > len(batch.words)]).values
    front = batch.slots.n_front
    return torch.cat([part.reshape(3, -1) for part in (images[:front], images[front:])], dim=1)


def test_word_vectors_are_not_t5s(network, golden, prompt):
    prefix, batch = prompt
    equal(network.word_table(batch.words), golden[f"{prefix}prompt/debug/word_emb"])


def test_prompts_are_assembled_as_published(network, golden, prompt):
    prefix, batch = prompt
    assembled, mask = network.assemble_prompt(batch)
    close(assembled.transpose(0, 1), golden[f"{prefix}prompt/debug/assembled"])
    equal(mask, golden[f"{prefix}prompt/mask"])


def test_prompts_are_encoded_as_published(network, golden, prompt):
    prefix, batch = prompt
    assembled, mask = network.assemble_prompt(batch)
    outputs = []
    hooks = [
        block.register_forward_hook(lambda *args: outputs.append(args[2]))
        for block in network.t5.block
    ]
    encoded = network.t5(inputs_embeds=assembled, attention_mask=mask).last_hidden_state
    for hook in hooks:
        hook.remove()
    for i, output in enumerate(outputs):
        output = output[0] if isinstance(output, tuple) else output
        close(output, golden[f"{prefix}prompt/debug/t5_block{i}_out"])
    close(encoded.transpose(0, 1), golden[f"{prefix}prompt/debug/t5_out"])
    tokens, mask = network.encode_prompt(batch)
    close(tokens.transpose(0, 1), golden[f"{prefix}prompt/tokens"])
    equal(mask, golden[f"{prefix}prompt/mask"])


@pytest.mark.parametrize("view", ["front", "top"])
def test_crops_and_boxes_are_encoded_as_published(network, golden, view):
    crops = torch.from_numpy(golden[f"obs/0/crops_{view}"][0, 0])
    boxes = torch.from_numpy(golden[f"obs/0/bbox_{view}"][0, 0])
    encoder = network.object_encoder
    close(encoder.encode_crops(crops)[None], golden[f"obs/0/debug/vit_{view}"])
    close(encoder.encode_boxes(view, boxes)[None], golden[f"obs/0/debug/bbox_feat_{view}"])


def test_object_tokens_are_the_published_ones(network, golden):
    batch = collate_observations([goldens.episode()[:1]])
    close(network.object_encoder(batch.slots)[None], golden["obs/0/debug/obj_tokens"])


@pytest.mark.parametrize("step", range(STEPS))
def test_observation_tokens_are_the_published_ones(network, golden, step):
    tokens, mask = network.encode_observations(collate_observations([[goldens.episode()[step]]]))
    close(tokens, golden[f"obs/{step}/tokens"])
    equal(mask, golden[f"obs/{step}/mask"])


@pytest.mark.parametrize("step", range(STEPS))
def test_the_whole_history_at_once_predicts_as_published(network, golden, step):
    """Every step of the rollout recomputed from its whole history."""
    observations, prompt = collate_observations([goldens.episode()[: step + 1]]), goldens.prompts()
    place = f"step/{step}"
    tokens, mask = network.encode_observations(observations)
    close(tokens.transpose(0, 1), golden[f"{place}/obs_tokens_in"])
    equal(mask.transpose(0, 1), golden[f"{place}/obs_mask_in"])

    _, prompt_mask = network.encode_prompt(collate_prompts(prompt))
    equal(position_ids(prompt_mask), golden[f"{place}/prompt_position_ids"])
    taken = [goldens.heads(f"step/{i}/unit")[0, 0] for i in range(step)]
    fractions = torch.tensor(np.array(taken, np.float32).reshape(1, step, 12))
    actions = network.action_encoder(fractions)
    for i in range(step):
        close(actions[:, i], golden[f"step/{i}/action_token"][0])
    batch = whole(prompt, [goldens.episode()[: step + 1]], fractions)
    out = network(batch)
    _, sequence_mask = network.assemble_history(batch, out.objects)
    equal(sequence_mask, golden[f"{place}/seq_mask"])
    equal(position_ids(sequence_mask), golden[f"{place}/position_ids"])
    close(out.predicted[:, None], golden[f"{place}/predicted"])
    for head in HEADS:
        close(out.logits[head][-1:], golden[f"{place}/logits/{head}"][0])


def test_every_controller_layer_gives_the_published_output(network, golden):
    outputs = {}
    hooks = [
        module.register_forward_hook(
            lambda *args, name=f"{name}{i}": outputs.update({name: args[2]})
        )
        for name, modules in (
            ("xattn", network.controller.xattns),
            ("block", network.controller.h),
        )
        for i, module in enumerate(modules)
    ]
    fractions = [goldens.heads(f"step/{i}/unit")[0] for i in range(STEPS - 1)]
    taken = torch.tensor(np.stack(fractions, axis=1))
    network(whole(goldens.prompts(), [goldens.episode()], taken))
    for hook in hooks:
        hook.remove()
    assert len(outputs) == 4
    for name, output in outputs.items():
        output = output[0] if isinstance(output, tuple) else output
        close(output, golden[f"step/4/debug/{name}_out"])


def test_a_batch_of_two_predicts_as_published(network, golden):
    """Two prompts of different length, two steps, one forward."""
    prompt = collate_prompts(goldens.prompts("batch2/"))
    episodes = [[goldens.observation("batch2/obs", t, b) for t in range(2)] for b in range(2)]
    observations = collate_observations(episodes)
    tokens, mask = network.encode_observations(observations)
    close(tokens.transpose(0, 1), golden["batch2/obs/tokens"])
    equal(mask.transpose(0, 1), golden["batch2/obs/mask"])

    bins = goldens.heads("batch2/action_bins")[0]  # (B, 12)
    fractions = torch.tensor(np.stack([Action(row).fractions for row in bins]))[:, None]
    actions = network.action_encoder(fractions)
    close(actions.transpose(0, 1), golden["batch2/action_tokens"])
    _, prompt_mask = network.encode_prompt(prompt)
    equal(position_ids(prompt_mask), golden["batch2/prompt_position_ids"])
    batch = whole(goldens.prompts("batch2/"), episodes, fractions)
    out = network(batch)
    _, sequence_mask = network.assemble_history(batch, out.objects)
    equal(sequence_mask, golden["batch2/seq_mask"])
    equal(position_ids(sequence_mask), golden["batch2/position_ids"])
    close(out.predicted.unflatten(0, (2, 2)).transpose(0, 1), golden["batch2/predicted"])
    for head in HEADS:
        close(out.logits[head][1::2], golden[f"batch2/last/logits/{head}"][0])
    last = torch.tensor(goldens.heads("batch2/last/unit")[0])
    close(network.action_encoder(last), golden["batch2/last/action_token"][0])


@pytest.fixture(scope="module")
def rollout():
    """Decisions of the whole episode through the seam, and the action token of each."""
    policy = load_policy(goldens.checkpoint(), config=goldens.CONFIG)
    policy.reset(goldens.prompts()[0])
    decisions, tokens = [], []
    for observation in goldens.episode():
        decisions.append(policy.infer(observation))
        policy.record(decisions[-1])
        fractions = torch.from_numpy(decisions[-1].action.fractions)
        with torch.inference_mode():
            tokens.append(policy.network.action_encoder(fractions))
    return list(zip(decisions, tokens, strict=True))


@pytest.mark.parametrize("step", range(STEPS))
def test_decisions_of_an_episode_are_the_published_ones(golden, rollout, step):
    decision, action_token = rollout[step]
    place = f"step/{step}"
    equal(decision.action.bins, goldens.heads(f"{place}/bins")[0, 0])
    equal(decision.action.fractions, goldens.heads(f"{place}/unit")[0, 0])
    close(action_token, golden[f"{place}/action_token"][0, 0])
    for head in HEADS:
        close(decision.logits[head], golden[f"{place}/logits/{head}"][0, 0])
    poses = decision.action.poses(Workspace())
    flat = np.concatenate([part for p in poses for part in (p.position[:2], p.quaternion)])
    close(flat, goldens.heads(f"{place}/action")[0, 0])
    logprobs = goldens.heads(f"{place}/logprobs")[0, 0]
    chosen = np.cumsum([0, *BINS[:-1]]) + decision.action.bins
    close(decision.confidence, np.exp(logprobs[chosen]))


@pytest.mark.parametrize("step", range(STEPS))
def test_the_spatula_sweeps(golden, rollout, step):
    assert int(rollout[step][0].action.primitive) == golden[f"obs/{step}/ee"][0, 0]


def test_values_fall_into_the_published_bins(golden):
    values = goldens.heads("discretize/in")[0]
    bins = goldens.heads("discretize/out")[0]
    for value, want in zip(values, bins, strict=True):
        equal(Action.from_fractions(value).bins, want)
