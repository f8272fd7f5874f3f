"""The policy's training: batches are what the running policy is given; it learns and resumes."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from helpers import data

from vima_ros.errors import VimaError
from vima_ros.policy import policy as policy_module
from vima_ros.policy.action_selection import decide
from vima_ros.policy.checkpoints.load import SMALL, load_policy
from vima_ros.policy.checkpoints.safetensors import save_weights
from vima_ros.policy.picked_object import Pick
from vima_ros.policy.policy import Policy
from vima_ros.policy.tokenizer import PromptTokenizer, bundled_tokenizer
from vima_ros.policy_frame import project_to_view
from vima_ros.sim.model.shapes import SHAPES
from vima_ros.specs import HEADS, POSITION_BINS, Observation
from vima_ros.training.data.collect import CollectionPlan, collect
from vima_ros.training.data.demonstration import demonstration_of
from vima_ros.training.data.readers import read_demonstrations
from vima_ros.training.data.vima_bench import read_bench_episode
from vima_ros.training.policy.auxiliary_losses import PolicyWithAuxiliaryHeads
from vima_ros.training.policy.batching import DetectionNoise, make_batch
from vima_ros.training.policy.color_augmentation import recolor
from vima_ros.training.policy.initialization import load_matching_weights
from vima_ros.training.policy.layout_augmentation import randomize_layout
from vima_ros.training.policy.privileged_labels import NOTHING, SHAPE_NAMES
from vima_ros.training.policy.trainer import (
    OBJECT_LOSSES,
    PolicyRecipe,
    VimaConfig,
    load_averaged,
    new_network,
    train_policy,
)
from vima_ros.training.policy.training_episode import read_training_episodes, training_episode
from vima_ros.training.run_progress import Schedule

TASKS = ("rearrange_then_restore", "scene_understanding", "sweep_without_exceeding")
TASKS += ("visual_manipulation",)
CLEAN = DetectionNoise(0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("demonstrations")
    for _ in collect(
        CollectionPlan(out, TASKS, seeds=4, first_seed=10, deterministic_oracle=True)
    ):
        pass
    return out


@pytest.fixture(scope="module")
def episodes(folder):
    return read_training_episodes([folder])


@pytest.fixture(scope="module")
def config():
    return VimaConfig(**SMALL, vocabulary=bundled_tokenizer().words)


@pytest.fixture(scope="module")
def network(config):
    torch.manual_seed(0)
    return new_network(config)


class Unshuffled(np.random.Generator):
    """Random numbers, but no shuffling."""

    def __init__(self):
        super().__init__(np.random.PCG64(0))

    def permutation(self, x, axis=0):
        return np.arange(x)


def decide_on(action, *arguments):
    return replace(decide(*arguments), action=action)


@pytest.mark.slow
@pytest.mark.parametrize("place_head", ["independent", "conditioned"])
@torch.no_grad()
def test_a_batch_says_what_the_policy_says_of_each_episode_alone(
    folder, episodes, config, place_head
):
    """Padding, histories, prompts: teacher forcing is the running policy, step by step."""
    torch.manual_seed(0)
    network = new_network(replace(config, place_head=place_head))
    batch = make_batch(episodes, Unshuffled(), CLEAN)
    logits = network.eval()(batch).logits
    policy = Policy(network.eval(), trained=True, description={}, tokenizer=bundled_tokenizer())
    encode, row = PromptTokenizer().encode, 0
    for demonstration in read_demonstrations(folder):
        policy.reset(demonstration.prompt(encode))
        for seen, action in zip(demonstration.observations, demonstration.actions, strict=False):
            seen = Observation(seen.front, seen.top, seen.end_effector)  # as perception says it
            with pytest.MonkeyPatch.context() as patch:  # what was demonstrated is decided
                patch.setattr(policy_module, "decide", partial(decide_on, action))
                pick = Pick(tuple(action.bins[:2]))
                patch.setattr(policy_module, "select_pick", lambda *_, pick=pick: pick)
                decision = policy.infer(seen)
            for head in HEADS:
                assert decision.logits[head] == pytest.approx(logits[head][row].numpy(), abs=2e-4)
            policy.record(decision)
            row += 1
    assert row == len(batch.bins)


@pytest.mark.slow
def test_what_an_action_is_about_is_known(episodes):
    for episode in episodes:
        assert len(episode.picked) == len(episode.bins) == len(episode.timesteps)
        if episode.task == "visual_manipulation":
            assert episode.picked[0] != NOTHING
            assert NOTHING != episode.placed[0] != episode.picked[0]
        if episode.task == "sweep_without_exceeding":
            assert set(episode.picked) == {NOTHING}


def test_shuffling_moves_objects_and_keeps_what_they_are(episodes):
    plain = make_batch(episodes, Unshuffled(), CLEAN)
    mixed = make_batch(episodes, np.random.default_rng(1), CLEAN)
    assert not torch.equal(plain.objects, mixed.objects)
    slots = [
        sorted(
            zip(
                b.objects.tolist(),
                b.step_of.tolist(),
                map(tuple, b.prompt.slots.boxes.tolist()),
                strict=True,
            )
        )
        for b in (plain, mixed)
    ]
    assert slots[0] == slots[1]


def test_detection_noise_misses_invents_and_never_leaves_nothing(episodes):
    spoilt = make_batch(episodes, np.random.default_rng(1), DetectionNoise(0.9, 0.5, 1.0))
    plain = make_batch(episodes, np.random.default_rng(1), CLEAN)
    assert (spoilt.objects != NOTHING).sum() < 0.5 * (plain.objects != NOTHING).sum()
    asked = torch.arange(len(spoilt.bins))
    seen = torch.isin(asked, spoilt.step_of[spoilt.prompt.slots.mask])
    assert seen.all()


def test_colours_change_alike_within_an_episode(episodes):
    torch.manual_seed(0)
    batch = make_batch(episodes, np.random.default_rng(1), CLEAN)
    other = recolor(batch, 1.0)
    crops, changed = batch.prompt.slots.crops.float(), other.prompt.slots.crops.float()
    assert (crops != changed).any()
    assert (changed[0] == 0).all()
    for episode in range(len(episodes)):
        own = batch.episode_of == episode
        own[0] = False
        ratio = changed[own].sum((1, 2, 3)) / crops[own].sum((1, 2, 3)).clamp(min=1)
        assert ratio.std() < 0.1


def boxes_of(episode, step, which):
    """Of an object, in both views, at a step."""
    return {
        tuple(int(v) for v in box)
        for view in episode.timesteps[step]
        for box, own in zip(view.boxes, view.ids, strict=True)
        if own == which
    }


def test_the_action_attends_to_its_objects(episodes, network):
    batch = make_batch(episodes, np.random.default_rng(2), CLEAN)
    model, length = PolicyWithAuxiliaryHeads(network), batch.rows.shape[1]
    count = len(batch.end_effectors)
    boxes = batch.prompt.slots.boxes.tolist()
    scores = torch.zeros(len(batch.reads), 2, length)
    actions = [(e, t) for e in episodes for t in range(len(e.bins))]
    for number, (episode, step) in enumerate(actions):
        row = batch.rows[int(batch.reads[number]) // length].tolist()
        for head, which in enumerate((episode.picked[step], episode.placed[step])):
            wanted = boxes_of(episode, step, which) if which != NOTHING else set()
            for place, token in enumerate(row):
                seen = 0 < token <= count and batch.step_of[token - 1] == number
                if seen and tuple(boxes[token - 1]) in wanted:
                    scores[number, head, place] = 50.0
    assert model.action_attention_loss(scores, batch) < 1e-6
    assert model.action_attention_loss(-scores, batch) > 40.0


def test_an_object_attends_to_its_images_in_the_prompt(episodes, network):
    chosen = [e for e in episodes if e.task == "visual_manipulation"]
    batch = make_batch(chosen, np.random.default_rng(2), CLEAN)
    words, tokens = len(batch.prompt.words), batch.rows.tolist()
    scores = torch.zeros(len(chosen), 2, batch.rows.shape[1], batch.prompt.rows.shape[1])
    for number, prompt in enumerate(batch.prompt.rows.tolist()):
        for place, token in enumerate(tokens[number]):
            which = int(batch.objects[token - 1]) if token else NOTHING
            for column, row in enumerate(prompt):
                is_word = 0 < row <= words
                shows = row > words and int(batch.objects[row - words - 1]) == which
                known = any(
                    r > words and int(batch.objects[r - words - 1]) == which for r in prompt
                )
                scores[number, 0, place, column] = 50.0 * (shows or (is_word and not known))
                scores[number, 1, place, column] = 50.0 * is_word
    model = PolicyWithAuxiliaryHeads(network)
    assert model.prompt_attention_loss(scores, batch) < 1e-6
    assert model.prompt_attention_loss(-scores, batch) > 40.0


def test_the_goal_of_an_object_is_its_place_in_the_prompts_scene(episodes, network):
    chosen = [e for e in episodes if e.task == "rearrange_then_restore"]
    batch = make_batch(chosen, np.random.default_rng(2), CLEAN)
    model, boxes = PolicyWithAuxiliaryHeads(network), batch.prompt.slots.boxes
    goals, told = torch.full((*batch.rows.shape, sum(POSITION_BINS)), -50.0), 0
    for number, (episode, row) in enumerate(zip(chosen, batch.rows.tolist(), strict=True)):
        middles = dict(zip(episode.images[0][1].ids, episode.images[0][1].boxes, strict=True))
        own = {  # the number in the batch of each object that it shows
            int(batch.objects[token - 1]): which
            for which in middles
            for token in row
            if 0 < token <= len(boxes)
            and tuple(boxes[token - 1].tolist()) in boxes_of(episode, 0, which)
            and batch.objects[token - 1] != NOTHING
        }
        for place, token in enumerate(row):
            which = own.get(int(batch.objects[token - 1])) if 0 < token <= len(boxes) else None
            if which is None:
                goals[number, place] = 50.0 * torch.randn(sum(POSITION_BINS))
                continue
            column, line = middles[which][:2]
            goals[number, place, int(np.ceil(line / 128 * 49))] = 50.0
            goals[number, place, 50 + int(np.ceil(column / 256 * 99))] = 50.0
            told += 1
    assert told
    model.goal_head = torch.nn.Identity()
    assert model.goal_loss(goals, batch) < 1e-6
    assert model.goal_loss(-goals, batch) > 40.0


def recipe(**values):
    return PolicyRecipe(
        **{
            "layout_fraction": 0.0,
            "batch_size": 6,
            "warmup_steps": 5,
            "learning_rate": 3e-3,
            **values,
        }
    )


def trained(episodes, config, folder, **schedule):
    never = float("inf")  # by time: a busy machine reports as an idle one
    schedule = Schedule(report_every=5, report_period=never, first_report=never, **schedule)
    return list(
        train_policy(episodes[1:], episodes[:1], config, recipe(steps=30), folder, schedule)
    )


@pytest.mark.slow
def test_it_learns_and_resumes_as_if_never_stopped(episodes, config, tmp_path):
    whole = trained(episodes, config, tmp_path / "a")
    assert whole[-1].losses["pose0_position"] < 0.93 * whole[0].losses["pose0_position"]
    assert set(whole[0].losses) >= {*HEADS, *OBJECT_LOSSES}
    assert set(whole[-1].validation_losses) == {*HEADS}
    assert whole[-1].training.keys() >= {"pose0", "pose1", "rotation", "all"}
    log, asked = [], iter([False] * 11 + [True])
    halves = trained(episodes, config, tmp_path / "b", stop=lambda: next(asked), log=log.append)
    assert [p.step for p in halves] == [5, 10]
    assert "begins at step 0" in log[0]
    assert "step 12 of 30" in log[-1]
    log.clear()
    halves += trained(episodes, config, tmp_path / "b", log=log.append)
    assert log == ["resumed at step 12 of 30"]
    assert [replace(p, episodes_per_s=0) for p in halves] == [
        replace(p, episodes_per_s=0) for p in whole
    ]
    one, other = (load_averaged(tmp_path / name, config)[0] for name in "ab")
    assert all(torch.equal(a, b) for a, b in both(one, other))


def test_what_was_trained_is_a_policy_that_loads(episodes, config, tmp_path):
    list(train_policy(episodes, [], config, recipe(steps=2), tmp_path))
    trained, step = load_averaged(tmp_path, config)
    assert step == 2
    save_weights(trained, tmp_path / "policy.safetensors", {"step": step})
    assert load_policy(tmp_path / "policy.safetensors").trained


@pytest.mark.slow
def test_what_cannot_be_trained_on_is_refused(folder, episodes, config, tmp_path):
    with pytest.raises(VimaError, match="none of"):
        read_training_episodes([folder], ["rotate"])
    out = tmp_path / "kept"
    for _ in collect(CollectionPlan(out, TASKS[:1], seeds=1, first_seed=2_000_000)):
        pass
    with pytest.raises(VimaError, match="is for evaluation"):
        read_training_episodes([out])
    (tmp_path / "checkpoint.pt").write_bytes(b"no checkpoint")
    with pytest.raises(VimaError) as caught:
        next(train_policy(episodes, [], config, recipe(), tmp_path))
    assert caught.value.code == "BAD_CHECKPOINT"


def test_of_long_episodes_the_beginning_is_taken(folder):
    short = read_training_episodes([folder], max_steps=1)
    assert {len(episode.bins) for episode in short} == {1}
    whole = training_episode(next(read_demonstrations(folder)), PromptTokenizer())
    assert len(whole.truncated(1).timesteps) == 1


def test_scattered_objects_stand_where_their_boxes_and_the_actions_say(episodes):
    """Of a randomize_layout episode all fits together as in one that was recorded."""
    random, told = np.random.default_rng(0), 0
    for episode in episodes:
        steps = np.arange(len(episode.bins))
        for _ in range(5):
            other = randomize_layout(episode, random)
            told += other is not episode
            moved = other.places - episode.places  # (T, K, 2)
            for t in steps:
                check_boxes(episode.timesteps[t], other.timesteps[t], moved[t])
            picked = np.maximum(episode.picked, 0)
            shift = other.targets - episode.targets  # (T, 2, 2)
            assert shift[:, 0] == pytest.approx(moved[steps, picked], abs=1e-6)
            assert other.grasps - episode.grasps == pytest.approx(moved, abs=1e-6)
            # Where an action brings an object, there it is next.
            later = moved[steps[1:], picked[:-1]]
            assert shift[:-1, 1] == pytest.approx(later, abs=1e-6)
            fractions = (other.targets - (0.25, -0.5)) / (0.5, 1.0) * (49, 99)
            at = other.bins[:, [0, 1, 6, 7]].reshape(-1, 2, 2)
            assert at == pytest.approx(fractions, abs=1.0)
            assert (at >= fractions - 1e-6).all()
    assert told >= 3 * len(episodes)


def check_boxes(before, after, moved):
    pixels = {"front": (251.4, 177.8), "top": (251.0, 251.0)}  # policy_frame.py
    for one, other, view in zip(before, after, pixels, strict=True):
        assert other.crops == one.crops
        expected = moved[list(one.ids)][:, ::-1] * pixels[view]
        assert other.boxes[:, :2] - one.boxes[:, :2] == pytest.approx(expected, abs=0.6)


def test_where_a_scattered_picture_shows_an_object_it_is_put(episodes):
    random, told = np.random.default_rng(0), 0
    for episode in episodes:
        picked = int(episode.picked[0])
        pictured = {which for view in episode.images[:1] for which in view[0].ids}
        if episode.task != "rearrange_then_restore" or picked not in pictured:
            continue  # a distractor is put aside first
        other = randomize_layout(episode, random)
        shift = other.targets[0, 1] - episode.targets[0, 1]
        for before, after in zip(episode.images[0], other.images[0], strict=True):
            slot = before.ids.index(picked)
            across = (after.boxes - before.boxes)[slot, 0]
            assert across == pytest.approx(251.2 * shift[1], abs=1.0)
            told += abs(across) > 3
    assert told


@pytest.mark.slow
def test_it_is_known_where_a_steady_oracle_would_pick_each_object(tmp_path):
    for _ in collect(
        CollectionPlan(
            tmp_path, ("rotate", "visual_manipulation"), seeds=3, deterministic_oracle=True
        )
    ):
        pass
    for episode in read_training_episodes([tmp_path]):
        picked = episode.grasps[0, episode.picked[0]]
        assert picked == pytest.approx(episode.targets[0, 0], abs=1e-6)
        for place, shape, grasp in zip(
            episode.places[0], episode.shapes, episode.grasps[0], strict=True
        ):
            if not SHAPES[SHAPE_NAMES[shape]].movable:
                assert grasp == pytest.approx(place)
        top = episode.timesteps[0][1]
        for which, box in zip(top.ids, top.boxes, strict=True):
            lean = episode.grasp_offsets[0, which]
            if np.isfinite(lean).all():
                middle = np.append(episode.grasps[0, which] - lean, 0.0)
                row, column = project_to_view("top", middle)
                assert box[:2] == pytest.approx([column, row], abs=1.5)


def test_recordings_of_the_original_tell_what_they_show_and_pick_where_a_steady_oracle_would():
    """VIMA-Bench's oracles pick anywhere; the object goes where it went."""
    tokenizer, known = PromptTokenizer(), 0
    for task in ("rotate", "rearrange", "visual_manipulation", "sweep_without_exceeding"):
        (path,) = data(f"bench/episodes/{task}").glob("*.npz")
        recording = read_bench_episode(path)
        episode = training_episode(demonstration_of(recording), tokenizer)
        assert NOTHING not in episode.shapes
        if task == "sweep_without_exceeding":
            assert (episode.targets.reshape(-1, 4) == recording.actions[:, [0, 1, 6, 7]]).all()
            continue
        masks = recording.images.masks[0, 1]
        which = int(episode.picked[0])
        row, column = np.rint(
            project_to_view("top", np.append(episode.grasps[0, which], 0.0))
        ).astype(int)
        assert masks[row, column] == which + 1
        assert episode.targets[0, 0] == pytest.approx(episode.grasps[0, which], abs=1e-6)
        # What the object does is what it did: its frame's origin comes to the same place.
        origin = recording.object_poses[0, which, :2]
        goes = [
            destination(origin, first, second, recording.actions[0])
            for first, second in (
                episode.targets[0],
                recording.actions[0, [0, 1, 6, 7]].reshape(2, 2),
            )
        ]
        assert goes[0] == pytest.approx(goes[1], abs=1e-5)
        for image in episode.images:
            for view in image:
                known += sum(which != NOTHING for which in view.ids)
    assert known >= 6


def destination(origin, pick, place, numbers):
    """Where an action brings what is at ``origin``: all turns are about z."""
    yaw = 2.0 * (np.arctan2(numbers[10], numbers[11]) - np.arctan2(numbers[4], numbers[5]))
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    return place + turn @ (origin - pick)


def test_a_network_takes_over_what_fits(config):
    trained = new_network(config)
    network, weights = load_matching_weights(config, trained)
    assert (weights.taken, weights.anew) == (len(trained.state_dict()), {})
    assert all(torch.equal(a, b) for a, b in both(network, trained))
    finer, weights = load_matching_weights(replace(config, vit_patch=8), trained)
    assert weights.anew == {
        "object_encoder.vit.pos_embed": "5 x 48 in the file, 17 x 48 here",
        "object_encoder.vit.conv1.weight": "48 x 3 x 16 x 16 in the file, 48 x 3 x 8 x 8 here",
    }
    assert "5 x 48 in the file" in weights.describe("FILE")
    weights = load_matching_weights(replace(config, xf_n_layers=1), trained)[1]
    assert not weights.anew
    assert any(".h.1." in name for name in weights.unused)
    weights = load_matching_weights(replace(config, xf_n_layers=3), trained)[1]
    assert set(weights.anew.values()) == {"not in the file"}
    assert torch.equal(finer.word_table.weight, trained.word_table.weight)


def both(one, other):
    return zip(one.state_dict().values(), other.state_dict().values(), strict=True)


def test_clues_lead_from_the_prompt_to_the_objects_of_the_action(episodes):
    """Words that name a look and images lead to the objects that the action is about."""
    for episode in episodes:
        if episode.task == "scene_understanding":
            assert len(set(episode.named_looks) - {NOTHING}) == 2
            assert episode.names_colors
            first, second = (episode.looks[int(i[0])] for i in (episode.picked, episode.placed))
            assert (first, second) == (0, 1)
            assert int(episode.picked[0]) in episode.images[0][0].ids
        if episode.task == "visual_manipulation":
            assert set(episode.named_looks) == {NOTHING}
            shown = [image[0].ids[0] for image in episode.images]
            assert shown == [episode.picked[0], episode.placed[0]]
