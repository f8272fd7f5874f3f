"""The turn reader: pairs of frames are found in any prompt, their angle is put in as a word."""

import json

import numpy as np
import pytest
import torch
from policy_episodes import prompt

from vima_ros.errors import VimaError
from vima_ros.policy import BUNDLED
from vima_ros.policy.checkpoints.load import load_network, load_policy, random_network
from vima_ros.policy.checkpoints.published import save_checkpoint
from vima_ros.policy.checkpoints.safetensors import save_weights
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.batching import collate_prompts
from vima_ros.policy.model.frame_pairs import MAX_SHIFT, PromptFrame, find_turns
from vima_ros.policy.tokenizer import PromptTokenizer, bundled_tokenizer, number_words
from vima_ros.specs import AssetKind, EncodedPrompt, PromptImage, ViewObjects

ANGLES = (30, 60, 90, 120)
SIZES = {"vocabulary": bundled_tokenizer().words}
NONE = ViewObjects.empty()


def frame(*places, scene=True, front=None):
    """An image with an object at each place, the center of its boxes."""
    boxes = np.array([(*place, 20, 20) for place in places]).reshape(-1, 4)
    return PromptFrame(scene, boxes if front is None else boxes[:front], boxes)


# --- which frames are a pair


@pytest.mark.parametrize("pairs", [1, 2, 5])
@pytest.mark.parametrize("others", [0, 2])
def test_any_number_of_pairs_is_found_wherever_they_are(pairs, others):
    images = [frame((9, 9), (99, 9))] * others
    for pair in range(pairs):
        images += [frame((20 + 40 * pair, 50)), frame((25 + 40 * pair, 48))]
    assert find_turns(images) == [others + 2 * pair for pair in range(pairs)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (frame((50, 50)), frame((50 + MAX_SHIFT + 1, 50))),  # it moves
        (frame((50, 50), scene=False), frame((50, 50))),  # an image of an object, not a scene
        (frame((50, 50)), frame((50, 50), scene=False)),
        (frame((50, 50), (90, 90)), frame((50, 50))),
        (frame((50, 50)), frame((50, 50), (90, 90))),
        (frame(), frame()),
    ],
)
def test_other_frames_are_no_pair(before, after):
    assert find_turns([before, after]) == []


def test_an_image_belongs_to_one_pair():
    assert find_turns([frame((50, 50))] * 5) == [0, 2]


def test_a_covered_object_in_front_makes_no_pair():
    two_in_front = PromptFrame(True, np.ones((2, 4)), np.ones((1, 4)))
    assert find_turns([frame((1, 1)), two_in_front]) == []
    assert find_turns([frame((1, 1)), frame((1, 1), front=0)]) == [0]


# --- in a prompt


def shown(rng, name, place=(60, 40), front=True, kind=AssetKind.SCENE):
    crop = rng.integers(0, 256, (1, 3, 32, 32), dtype=np.uint8)
    views = [
        ViewObjects(np.array([(*place, 20, 20)]), crop + i, np.ones(1), np.zeros(1, np.int64))
        for i in (0, 1)
    ]
    return PromptImage(name, kind, views[0] if front else NONE, views[1])


def twist_prompt(rng, front=True):
    """Words and two pairs, of which one object is not seen in front after its turn."""
    images = [
        shown(rng, f"frame_{i}", (60 + 50 * (i // 2), 40), front or i != 3) for i in range(4)
    ]
    return EncodedPrompt((5, images[0], 6, images[1], 7, 8, images[2], 9, images[3], 10))


def network(**config):
    return random_network({**SIZES, "turn_angles": ANGLES, **config})


@torch.no_grad()
def assembled(net, words):
    return net.assemble_prompt(collate_prompts([words]))


@pytest.mark.parametrize("front", [True, False])
@torch.no_grad()
def test_the_angles_word_is_in_the_place_of_the_after_frames_objects(front):
    """A sure reader says the number's own word; all else in the prompt is as without it."""
    net, words = network().eval(), twist_prompt(np.random.default_rng(0), front)
    batch = collate_prompts([words])
    assert len(batch.turns) == 2
    reader = net.turn_reader
    torch.nn.init.zeros_(reader.angles[6].weight)
    reader.angles[6].bias.copy_(torch.tensor([0.0, 0.0, 80.0, 0.0]))
    tokens, mask = assembled(net, words)
    net.turn_reader = None
    plain, same_mask = assembled(net, words)
    assert torch.equal(mask, same_mask)
    ninety = net.word_table.weight[PromptTokenizer().encode("90", ())[0]]
    slots = batch.rows[0] - 1 - len(batch.words)
    after = [slot for _, *pair in batch.turns.tolist() for slot in pair if slot >= 0]
    assert len(after) == (4 if front else 3)
    for token, without, slot in zip(tokens[0], plain[0], slots.tolist(), strict=True):
        assert torch.allclose(token, ninety if slot in after else without, atol=1e-6)


@torch.no_grad()
def test_an_unsure_reader_says_a_mixture_of_words():
    net, words = network().eval(), twist_prompt(np.random.default_rng(1))
    for parameter in (net.turn_reader.angles[6].weight, net.turn_reader.angles[6].bias):
        torch.nn.init.zeros_(parameter)
    batch = collate_prompts([words])
    tokens, _ = assembled(net, words)
    place = (batch.rows[0] == 1 + len(batch.words) + batch.turns[0, 1]).nonzero().item()
    mean = net.word_table.weight[list(number_words(ANGLES))].mean(0)
    assert torch.allclose(tokens[0, place], mean, atol=1e-6)


@torch.no_grad()
def test_a_prompt_says_the_same_alone_and_in_a_batch():
    rng = np.random.default_rng(2)
    prompts = [twist_prompt(rng), prompt(rng, (2, 1)), twist_prompt(rng, front=False)]
    net = network().eval()
    whole, mask = net.assemble_prompt(collate_prompts(prompts))
    for row, words in enumerate(prompts):
        alone, kept = net.assemble_prompt(collate_prompts([words]))
        assert torch.allclose(whole[row, mask[row]], alone[0, kept[0]], atol=1e-5)


# --- files


def test_a_policy_with_it_is_saved_and_loaded(tmp_path):
    net, path = network(), tmp_path / "turning.safetensors"
    save_weights(net, path, {})
    loaded, _ = load_network(path, {})
    assert loaded.config.turn_angles == ANGLES
    weights = net.state_dict()
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, weights[name])
    with pytest.raises(VimaError, match=r"a turn reader.*valid: \.safetensors"):
        save_checkpoint(net, tmp_path / "turning.ckpt")


@pytest.mark.parametrize("angles", [[30, 60], [], "30", [30, 60, 90, 90], [30, 60, 90, 0], None])
def test_angles_that_do_not_fit_the_weights_are_refused(tmp_path, angles):
    path = tmp_path / "turning.safetensors"
    save_weights(network(), path, {})
    document = json.loads(path.with_suffix(".json").read_text())
    document["config"]["turn_angles"] = angles
    path.with_suffix(".json").write_text(json.dumps(document))
    with pytest.raises(VimaError, match="turn_angles") as caught:
        load_network(path, {})
    assert caught.value.code == "BAD_CHECKPOINT"


def test_the_bundled_policy_has_none_and_loads():
    loaded, _ = load_network(BUNDLED, {})
    assert loaded.turn_reader is None
    assert loaded.config.turn_angles == ()


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"turn_angles": (30, 30)}, "different"),
        ({"turn_angles": (0,)}, "1 to 359"),
        ({"turn_angles": 30}, "1 to 359"),
        ({"turn_angles": (30, 210)}, "210: not one word"),
        ({"turn_angles": (30,), "conditioning": "gpt"}, "valid: with vima"),
        ({"turn_angles": (30,), "vocabulary": 32128}, "bundled tokenizer"),
    ],
)
def test_angles_that_cannot_be_read_are_refused(config, says):
    with pytest.raises(VimaError, match=says) as caught:
        VimaConfig(**({**SIZES, **config}))
    assert caught.value.code == "BAD_CONFIG"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_it_decides_in_every_number_format(dtype):
    policy = load_policy("random", dtype=dtype, config={"turn_angles": list(ANGLES)})
    policy.reset(twist_prompt(np.random.default_rng(3)))
    assert policy.description["config"]["turn_angles"] == ANGLES
