"""The place conditioned on the picked object; what it shares with all is tested with the rest."""

import json

import numpy as np
import pytest
import torch
from policy_episodes import observation, play, prompt, same, whole_images
from policy_weights import SIZES, change_config, change_tensors, change_text, refused, text_of

from vima_ros.errors import FieldError, VimaError
from vima_ros.policy import BUNDLED, load_policy
from vima_ros.policy import policy as policy_module
from vima_ros.policy.checkpoints.load import load_network, random_network
from vima_ros.policy.checkpoints.published import load_checkpoint, save_checkpoint
from vima_ros.policy.checkpoints.safetensors import save_weights
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.batching import collate_prompts
from vima_ros.policy.model.heads import (
    MIN_ATTENTION,
    POINTER_SCALE,
    PlaceContext,
    PlaceHead,
    encode_boxes,
)
from vima_ros.policy.picked_object import Pick, bin_pixels
from vima_ros.specs import (
    HEADS,
    AssetKind,
    EncodedPrompt,
    EndEffector,
    Observation,
    PromptImage,
    ViewObjects,
)

CONDITIONED = {"place_head": "conditioned", "place_hidden": 40}
NONE = ViewObjects.empty()


@pytest.fixture(scope="module")
def network():
    return random_network(SIZES | CONDITIONED)


@pytest.fixture
def path(tmp_path, network):
    path = tmp_path / "tiny.safetensors"
    save_weights(network, path, {})
    return path


# --- which object is picked


def objects(rng, *boxes, ids=None):
    """Objects with these boxes: x centre, y centre, height, width."""
    crops = rng.integers(0, 256, (len(boxes), 3, 32, 32), dtype=np.uint8)
    ids = np.arange(len(boxes)) if ids is None else ids
    return ViewObjects(np.array(boxes), crops, np.ones(len(boxes)), ids)


def bins_at(x, y):
    """The pick's bins that the pixel x, y of the top view shows."""
    away = np.linalg.norm(bin_pixels() - (x, y), axis=-1)
    return tuple(map(int, np.unravel_index(away.argmin(), away.shape)))


PICKS = {"one": bins_at(60, 40), "other": bins_at(180, 90), "nothing": bins_at(120, 10)}


def decisions(policy, words, seen, monkeypatch):
    """The second decision of an episode for each of ``PICKS``, on the same observation."""
    made = {}
    play(policy, words, [seen])
    for name, pick in PICKS.items():
        with monkeypatch.context() as patch:
            patch.setattr(policy_module, "select_pick", lambda *_, pick=pick: Pick(pick))
            made[name] = policy.infer(seen)
    return made


@pytest.mark.parametrize("place_head", ["independent", "conditioned"])
def test_the_place_is_decided_for_the_picked_object(place_head, monkeypatch):
    rng = np.random.default_rng(0)
    policy = load_policy("random", config={"place_head": place_head})
    boxes = (60, 40, 20, 20), (180, 90, 20, 20)
    seen = Observation(objects(rng, *boxes), objects(rng, *boxes))
    words = prompt(rng, (2, 2))
    made = decisions(policy, words, seen, monkeypatch)
    for name, decision in made.items():
        assert tuple(decision.action.bins[:2]) == PICKS[name]
    for a, b in (("one", "other"), ("one", "nothing"), ("other", "nothing")):
        for head in HEADS[:2]:
            np.testing.assert_array_equal(made[a].logits[head], made[b].logits[head])
        for head in HEADS[2:]:
            apart = np.abs(made[a].logits[head] - made[b].logits[head]).max()
            assert apart > 1e-3 if place_head == "conditioned" else apart == 0


def test_the_spatula_picks_no_object(monkeypatch):
    rng, policy = np.random.default_rng(1), load_policy("random", config=CONDITIONED)
    boxes = (60, 40, 20, 20), (180, 90, 20, 20)
    views = objects(rng, *boxes), objects(rng, *boxes)
    seen = Observation(*views, end_effector=EndEffector.SPATULA)
    made = decisions(policy, prompt(rng, (1, 1)), seen, monkeypatch)
    for name in ("one", "other"):
        for head in HEADS:
            np.testing.assert_array_equal(made[name].logits[head], made["nothing"].logits[head])


@pytest.mark.parametrize("ids", [(0, 1), (1, 0), (7, 8)])
def test_both_views_of_an_object_are_joined_by_its_track(ids, monkeypatch):
    """An object that the front view lacks is read from the top alone."""
    rng, policy = np.random.default_rng(2), load_policy("random", config=CONDITIONED)
    boxes = (60, 40, 20, 20), (180, 90, 20, 20)
    seen = Observation(objects(rng, *boxes, ids=ids), objects(rng, *boxes))
    picked = []
    policy.network.place_head.register_forward_pre_hook(
        lambda _, args: picked.append(args[1][0].tolist())
    )
    decisions(policy, prompt(rng, (1, 1)), seen, monkeypatch)
    front = [1 + ids.index(i) if i in ids else -1 for i in (0, 1)]  # after the first action
    assert picked[1:] == [[front[0], 3], [front[1], 4], [-1, -1]]


def test_the_object_that_a_pick_is_grounded_in_is_the_picked_one(monkeypatch):
    """Whatever else has the pick in its box."""
    rng, policy = np.random.default_rng(2), load_policy("random", config=CONDITIONED)
    boxes = (60, 40, 20, 20), (60, 40, 30, 30)
    seen, words = Observation(objects(rng, *boxes), objects(rng, *boxes)), prompt(rng, (1, 1))
    picked = []
    policy.network.place_head.register_forward_pre_hook(
        lambda _, args: picked.append(args[1][0].tolist())
    )
    for grounded in (Pick(PICKS["one"]), Pick(PICKS["one"], 1, 1), Pick(PICKS["nothing"], 0, 0)):
        monkeypatch.setattr(policy_module, "select_pick", lambda *_, pick=grounded: pick)
        play(policy, words, [seen])
    assert picked == [[0, 2], [1, 3], [0, 2]]


# --- the pointer to the prompt's boxes


def image(rng, front, top):
    return PromptImage("scene", AssetKind.SCENE, front, top, whole_images(rng))


def test_boxes_are_peaks_in_the_bins_of_their_centers():
    rng = np.random.default_rng(3)
    front, top = objects(rng, (0, 0, 9, 9)), objects(rng, (256, 128, 9, 9), (128, 64, 5, 5))
    batch = collate_prompts([EncodedPrompt((4, image(rng, front, top), 1)), EncodedPrompt((1,))])
    boxes = encode_boxes(batch)
    assert boxes.shape == (2, 5, 2, 151)
    shown = torch.zeros(2, 5, 2, dtype=torch.bool)
    shown[0, 1, 0] = shown[0, 2:4, 1] = True
    np.testing.assert_array_equal(boxes[..., -1], shown.float())
    assert (boxes[~shown] == 0).all()
    x, y = boxes[..., :50].argmax(-1), boxes[..., 50:150].argmax(-1)
    assert (x[shown].tolist(), y[shown].tolist()) == ([0, 49, 24], [0, 99, 49])
    assert boxes[0, 1, 0, [0, 50]].tolist() == [1.0, 1.0]


def context(rng, scores, boxes, tokens=6):
    """Context of one episode, whose last token reads; scores (T, P), boxes (P, 2, 151)."""
    width = VimaConfig().embed_dim

    def draw(*shape):
        return torch.from_numpy(rng.normal(size=shape)).float()

    return PlaceContext(
        torch.tensor([tokens - 1]),
        draw(1, tokens, width),
        draw(1, tokens, width),
        scores[None],
        draw(1, len(boxes), width),
        boxes[None],
    )


def test_the_pointer_copies_the_box_that_the_picked_object_attends_to():
    rng, head = np.random.default_rng(4), PlaceHead(VimaConfig(place_head="conditioned"))
    torch.nn.init.zeros_(head.query.weight)
    boxes = torch.from_numpy(rng.random((5, 2, 151))).float()
    boxes[0] = 0  # a word
    boxes[1:3, 1] = boxes[3:, 0] = 0  # images from the front, then from the top
    boxes[1:3, 0, -1] = boxes[3:, 1, -1] = 1
    scores = torch.full((6, 5), -500.0)
    scores[1, 4] = scores[2, 0] = 50.0
    scores[4, [2, 3]] = 50.0
    place = context(rng, scores, boxes)
    read = torch.zeros(1, head.query.in_features)

    def pointed(front, top):
        return head.point(place, torch.tensor([[front, top]]), read).unflatten(-1, (2, 151))[0]

    share = POINTER_SCALE / (1 + MIN_ATTENTION)
    got = pointed(-1, 1)
    torch.testing.assert_close(got[1, :-1], share * boxes[4, 1, :-1])
    assert got[1, -1] == 1
    assert (got[0] == 0).all()
    assert (pointed(2, -1) == 0).all()  # it attends to a word
    torch.testing.assert_close(pointed(2, 1), got)  # from the top, where it is seen there
    assert (pointed(-1, -1) == 0).all()
    both = pointed(4, -1)
    half = POINTER_SCALE * 0.5 / (0.5 + MIN_ATTENTION)
    torch.testing.assert_close(both[0, :-1], half * boxes[2, 0, :-1])
    torch.testing.assert_close(both[1, :-1], half * boxes[3, 1, :-1])


def test_a_query_chooses_among_the_images_of_an_object():
    """As of several frames: it adds to the attention that finds the object."""
    rng, head = np.random.default_rng(5), PlaceHead(VimaConfig(place_head="conditioned"))
    boxes = torch.zeros(3, 2, 151)
    boxes[:2, 1, -1] = boxes[0, 1, 3] = boxes[1, 1, 9] = 1
    scores = torch.tensor([0.0, 0.0, -50.0]).expand(6, 3).clone()
    place = context(rng, scores, boxes)
    read = torch.from_numpy(rng.normal(size=(1, head.query.in_features))).float()
    picked = torch.tensor([[-1, 1]])
    optimizer = torch.optim.Adam(head.query.parameters(), 1e-2)
    for _ in range(20):
        loss = -head.point(place, picked, read).unflatten(-1, (2, 151))[0, 1, 9]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    got = head.point(place, picked, read).unflatten(-1, (2, 151))[0, 1]
    assert got[9] > 50 * got[3]


# --- files and configurations


def test_a_conditioned_network_is_saved_and_decides_as_before(path, network):
    loaded, _ = load_network(path, {})
    assert loaded.config == network.config
    state = loaded.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    rng = np.random.default_rng(6)
    words, seen = prompt(rng, (2, 1)), [observation(rng, 3, 2), observation(rng, 1, 4)]
    other = load_policy("random", config=SIZES | CONDITIONED)
    got, want = play(load_policy(path), words, seen), play(other, words, seen)
    for one, two in zip(got, want, strict=True):
        same(one, two, atol=0)


def test_a_text_need_not_state_what_the_tensors_show(path, network):
    config = json.loads(text_of(path).read_text())["config"]
    change_text(path, config={n: v for n, v in config.items() if not n.startswith("place")})
    assert load_network(path, {})[0].config == network.config


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"place_head": "independent"}, "place_head independent, the tensors are of conditioned"),
        ({"place_head": 3}, "place_head 3, the tensors are of conditioned"),
        ({"place_hidden": 41}, "place_hidden 41, the tensors have 40"),
    ],
)
def test_a_text_that_contradicts_the_tensors(path, change, match):
    change_config(path, **change)
    refused(path, match)


@pytest.mark.parametrize("key", ["place_head.absent", "place_head.heads.pose1_position.0.weight"])
def test_a_missing_tensor_of_the_head_is_named(path, key):
    change_tensors(path, lambda tensors: tensors.pop(key))
    refused(path, f"{key} is missing")


def test_both_kinds_of_heads_in_one_file(path):
    more = random_network(SIZES).state_dict()
    name = "action_decoder.heads.pose1_position.0.0.weight"
    change_tensors(path, lambda tensors: tensors.update({name: more[name]}))
    refused(path, f"{name} is not VIMA's")


@pytest.mark.parametrize("wanted", [{"place_head": "independent"}, {"place_hidden": 30}])
def test_an_override_that_the_file_contradicts(path, wanted):
    refused(path, f"config has {next(iter(wanted))}", "BAD_CONFIG", config=wanted)


def test_the_published_form_has_no_conditioned_place(tmp_path, network):
    path = tmp_path / "tiny.ckpt"
    with pytest.raises(VimaError, match="a conditioned place, which the published form") as error:
        save_checkpoint(network, path)
    assert error.value.code == "CANNOT_WRITE"
    save_checkpoint(random_network(SIZES), path)
    content = torch.load(path, weights_only=True)
    content["state_dict"]["policy.place_head.heads.pose1_position.0.weight"] = torch.zeros(4, 4)
    torch.save(content, path)
    with pytest.raises(VimaError, match="a conditioned place, which the published form") as error:
        load_checkpoint(path, {"vit_heads": 6, "t5_max_distance": 64})
    assert error.value.code == "BAD_CHECKPOINT"


def test_the_bundled_weights_place_independently():
    network, _ = load_network(BUNDLED, {})
    assert network.config.place_head == "independent"
    assert network.place_head is None


@pytest.mark.parametrize(
    "more", [{"conditioning": "gato"}, {"prompt_latents": 2}, {"history_latents": 2}]
)
def test_a_conditioned_place_needs_tokens_of_objects(more):
    with pytest.raises(FieldError, match="place_head is conditioned with") as error:
        VimaConfig(place_head="conditioned", **more)
    assert error.value.field == "place_head"


def test_an_unknown_way_to_place():
    with pytest.raises(FieldError, match="'both'; valid: independent, conditioned"):
        VimaConfig(place_head="both")
