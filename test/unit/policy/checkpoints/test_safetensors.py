"""Our own form of a checkpoint: there and back exactly, and what is wrong is refused by name."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import policy_goldens as goldens
import pytest
import torch
from policy_episodes import observation, play, prompt
from policy_weights import (
    SIZES,
    change_tensors,
    change_text,
    refused,
    save_as_published,
    sha256,
    text_of,
)
from safetensors.torch import load_file

from vima_ros.errors import VimaError
from vima_ros.policy import BUNDLED, load_policy
from vima_ros.policy.checkpoints.load import load_network, random_network
from vima_ros.policy.checkpoints.published import (
    T5_WORD_EMBEDDINGS,
    load_checkpoint,
    published_checkpoint,
    save_checkpoint,
)
from vima_ros.policy.checkpoints.safetensors import (
    FORMAT,
    MAX_TEXT,
    describe,
    load_weights,
    save_weights,
)
from vima_ros.policy.checkpoints.validation import MAX_SIZE
from vima_ros.policy.tokenizer import T5, TokenizerIdentity, bundled_tokenizer
from vima_ros.specs import HEADS


@pytest.fixture(scope="module")
def network():
    return random_network(SIZES)


@pytest.fixture
def path(tmp_path, network):
    """A good pair of files."""
    path = tmp_path / "tiny.v2.safetensors"
    save_weights(network, path, {})
    return path


def equal(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


# --- there and back


@pytest.mark.parametrize("more", [{}, {"embed_dim": 48, "action_width": 12}])
def test_a_saved_network_loads_as_it_was(tmp_path, more):
    """Also with the layers that do not exist where two widths are equal."""
    network = random_network(SIZES | more)
    path = tmp_path / "tiny.safetensors"
    returned = save_weights(network, path, {})
    loaded, card, told = load_weights(path, {})
    assert loaded.config == network.config
    assert equal(loaded, network)
    assert not loaded.training
    assert all(p.requires_grad for p in loaded.parameters())
    assert returned == told == sha256(path)
    assert card == {**describe(network), "source": None}


def test_the_files_hold_what_they_should(path, network):
    tensors = load_file(path)
    assert tensors.keys() == network.state_dict().keys()
    assert {t.dtype for t in tensors.values()} == {torch.float32}
    document = json.loads(text_of(path).read_text())
    assert document == {
        "format": FORMAT,
        "config": json.loads(json.dumps(vars(network.config))),
        "sha256": sha256(path),
        "card": {
            "name": "VIMA 0.313M",
            "parameters": sum(t.numel() for t in tensors.values()),
            "controller_parameters": sum(
                t.numel() for name, t in tensors.items() if name.startswith("controller.")
            ),
            "source": None,
        },
    }
    assert text_of(path).read_text().count("\n") > 20  # for people


def test_weights_are_stored_out_in(tmp_path, path, network):
    """Also those that a published file has the other way round."""
    save_as_published(network, tmp_path / "tiny.ckpt")
    turned = load_checkpoint(tmp_path / "tiny.ckpt", {})
    assert not all(t.is_contiguous() for t in turned.state_dict().values())
    other = tmp_path / "other.safetensors"
    save_weights(turned, other, {})
    assert other.read_bytes() == path.read_bytes()
    assert load_file(path)["controller.h.0.mlp.c_fc.weight"].shape == (4 * 64, 64)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [SIZES, {"vocabulary": 60}])
def test_converting_to_safetensors_and_back_changes_nothing(tmp_path, sizes):
    network = random_network(sizes)
    first, own, last = (tmp_path / n for n in ("a.ckpt", "b.safetensors", "c.ckpt"))
    save_checkpoint(network, first)
    save_weights(load_network(first, {})[0], own, {})
    assert save_checkpoint(load_network(own, {})[0], last) == sha256(last)
    before, after = (torch.load(file, weights_only=True) for file in (first, last))
    assert before["cfg"] == after["cfg"]
    assert list(before["state_dict"]) == list(after["state_dict"])
    for name, tensor in before["state_dict"].items():
        assert torch.equal(tensor, after["state_dict"][name])


@pytest.mark.slow
def test_the_recorded_checkpoint_and_back(tmp_path):
    content = torch.load(goldens.checkpoint(), weights_only=True)
    own = tmp_path / "own.safetensors"
    save_weights(load_network(goldens.checkpoint(), goldens.CONFIG)[0], own, {})
    again = published_checkpoint(load_network(own, {})[0])
    assert again["cfg"] == content["cfg"] | goldens.CONFIG
    assert again["state_dict"].keys() == content["state_dict"].keys()
    unread = {f"policy.{name}" for name in T5_WORD_EMBEDDINGS}
    for name, tensor in content["state_dict"].items():
        assert name in unread or torch.equal(tensor, again["state_dict"][name])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_both_forms_decide_alike(tmp_path, path, network, dtype):
    save_as_published(network, tmp_path / "tiny.ckpt")
    rng = np.random.default_rng(0)
    words = prompt(rng, (1, 2), (2, 2))
    seen = [observation(rng, 3, 4), observation(rng, 4, 2), observation(rng, 1, 1)]
    own, published = (
        play(load_policy(file, dtype=dtype), words, seen)
        for file in (path, tmp_path / "tiny.ckpt")
    )
    for one, other in zip(own, published, strict=True):
        for head in HEADS:
            np.testing.assert_array_equal(one.logits[head], other.logits[head])


def test_the_file_is_read_and_not_mapped(path):
    """A mapped file's pages would be in memory beside the packed weights."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("not Linux: no list of mapped files")
    loaded = load_weights(path, {})
    assert path.name not in maps.read_text()
    assert loaded


# --- the card


def test_unknown_fields_of_the_card_are_kept(tmp_path, network):
    path = tmp_path / "tiny.safetensors"
    card = {
        "name": "räumt auf",
        "source": {"file": "20M.ckpt", "sha256": "0" * 64},
        "data": {"episodes": 1000, "tasks": ["rotate"]},
        "success": {"rotate": 0.93},
    }
    save_weights(network, path, card)
    assert "räumt auf" in text_of(path).read_text(encoding="utf-8")
    assert load_weights(path, {})[1] == describe(network) | card
    again = tmp_path / "again.safetensors"
    save_weights(network, again, load_weights(path, {})[1])
    assert text_of(again).read_bytes() == text_of(path).read_bytes()


def test_what_a_card_lacks_is_added(path, network):
    change_text(path, card={"licence": "MIT"})
    assert load_weights(path, {})[1] == describe(network) | {"licence": "MIT"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["parameters", "controller_parameters"])
@pytest.mark.parametrize("value", [1, None, "many", [[[]]]])
def test_a_card_that_says_other_numbers(path, network, name, value):
    with pytest.raises(VimaError, match=f"other {name} than the tensors"):
        save_weights(network, path, {name: value})
    change_text(path, card={name: value})
    refused(path, f"other {name} than the tensors")


def test_a_name_that_is_no_text(path):
    change_text(path, card={"name": {}})
    refused(path, "name is a dict")


@pytest.mark.parametrize(
    "value", [object(), float("nan"), {1, 2}, "\ud800", "x" * MAX_TEXT, np.float32(1)]
)
def test_a_card_that_is_not_json_is_not_written(tmp_path, network, value):
    with pytest.raises(VimaError, match="card") as error:
        save_weights(network, tmp_path / "tiny.safetensors", {"more": value})
    assert error.value.code == "BAD_CARD"
    assert not list(tmp_path.iterdir())


def test_the_description_names_file_hash_card_and_config(path, network):
    told = load_policy(path).description
    assert told["checkpoint"] == "tiny.v2.safetensors"
    assert told["sha256"] == sha256(path)
    tokenizer = asdict(bundled_tokenizer())
    assert told["card"] == {**describe(network), "source": None, "tokenizer": tokenizer}
    assert told["parameters"] == describe(network)["parameters"]
    assert told["config"] == vars(network.config)
    assert told["trained"]


def test_other_forms_have_a_card_too(tmp_path, network):
    save_checkpoint(network, tmp_path / "tiny.ckpt")
    card = load_policy(tmp_path / "tiny.ckpt").description["card"]
    assert card == {**describe(network), "source": None, "tokenizer": asdict(T5)}
    untrained = load_policy("random")
    assert untrained.description["card"]["parameters"] == untrained.description["parameters"]


def test_prompts_of_another_tokenizer_are_refused(tmp_path, network):
    """With as many words, too; the card says which is the right one."""
    path, own = tmp_path / "tiny.safetensors", TokenizerIdentity("0" * 64, 1347)
    save_weights(network, path, {"tokenizer": asdict(own)})
    policy = load_policy(path)
    assert policy.tokenizer == policy.session().tokenizer == own
    policy.check_tokenizer(own)
    for other in (bundled_tokenizer(), T5, TokenizerIdentity("0" * 63 + "1", 1347)):
        with pytest.raises(VimaError) as error:
            policy.check_tokenizer(other)
        assert error.value.code == "WRONG_TOKENIZER"
        assert str(other) in str(error.value)
        assert str(own) in str(error.value)


@pytest.mark.parametrize(
    "tokenizer", [None, "T5", {"sha256": "0" * 64}, {"sha256": 1, "words": 1}]
)
def test_a_card_whose_tokenizer_is_none(path, tokenizer):
    change_text(path, card={"tokenizer": tokenizer})
    refused(path, "card's tokenizer is")


def test_the_card_states_how_picks_are_chosen(path):
    assert load_policy(path).pick == "bins"
    change_text(path, card={"source": None, "pick": "grounded"})
    policy = load_policy(path)
    assert policy.pick == policy.session().pick == policy.description["pick"] == "grounded"
    assert load_policy(path, pick="bins").pick == "bins"


@pytest.mark.slow
@pytest.mark.parametrize("pick", ["", "middle", None, ["bins"]])
def test_a_card_with_an_unknown_pick(path, pick):
    change_text(path, card={"pick": pick})
    refused(path, "card's pick is")


def test_weights_converted_before_cards_stated_the_tokenizer_have_t5s(path):
    change_text(path, card={"source": {"file": "tiny.ckpt"}})
    assert load_policy(path).tokenizer == T5


def test_without_a_file_the_bundled_policy_is_loaded():
    bundled = load_policy()
    assert bundled.trained
    assert bundled.description["sha256"] == sha256(BUNDLED)
    card = json.loads(text_of(BUNDLED).read_text())["card"]
    assert card["tokenizer"] == asdict(bundled_tokenizer())
    assert bundled.pick == "grounded"
    assert load_policy("").description["sha256"] == sha256(BUNDLED)
    assert not load_policy("random").trained


# --- writing


@pytest.mark.slow
@pytest.mark.parametrize("error", [OSError, RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("form", ["own", "published"])
@pytest.mark.parametrize("there", [False, True])
def test_a_write_that_fails_changes_nothing(tmp_path, network, monkeypatch, error, form, there):
    path = tmp_path / ("tiny.safetensors" if form == "own" else "tiny.ckpt")
    save = partial(save_weights, card={}) if form == "own" else save_checkpoint
    if there:
        save(network, path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}

    def fail(*_):
        raise error("disk full\nstack")

    module = "safetensors" if form == "own" else "published"
    monkeypatch.setattr(
        f"vima_ros.policy.checkpoints.{module}.sha256_of", fail
    )  # all is written by then
    expected = error if error is KeyboardInterrupt else VimaError
    with pytest.raises(expected, match="disk full") as raised:
        save(random_network(SIZES), path)
    if expected is VimaError:
        assert raised.value.code == "CANNOT_WRITE"
        assert "stack" not in str(raised.value)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_prefixes_of_wrappers_are_taken_off(tmp_path, caplog):
    path, network = tmp_path / "tiny.safetensors", random_network(SIZES)
    save_weights(network, path, {})

    def wrap(tensors):
        for name in list(tensors):
            tensors[f"module._orig_mod.{name}"] = tensors.pop(name)

    change_tensors(path, wrap)
    got = load_weights(path, {})[0].state_dict()
    assert all(torch.equal(tensor, got[name]) for name, tensor in network.state_dict().items())
    assert "_orig_mod. and module. taken off" in caplog.text


@pytest.mark.parametrize("name", ["none/tiny.safetensors", "none/tiny.ckpt", "file/tiny.ckpt"])
def test_a_folder_that_cannot_be_written(tmp_path, network, name):
    (tmp_path / "file").touch()
    path = tmp_path / name
    save = save_checkpoint if path.suffix == ".ckpt" else partial(save_weights, card={})
    with pytest.raises(VimaError, match=r"none|file") as error:
        save(network, path)
    assert error.value.code == "CANNOT_WRITE"


def test_whoever_may_read_the_text_may_read_the_tensors(path):
    assert path.stat().st_mode == text_of(path).stat().st_mode


def test_a_policys_weights_are_not_saved(tmp_path):
    """They are packed for a CPU's kernels; what ``load_network`` gives can be saved."""
    with pytest.raises(VimaError, match=r"weight is missing.*more"):
        save_weights(load_policy("random").network, tmp_path / "tiny.safetensors", {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_would_not_load_is_not_saved(tmp_path, number):
    broken = random_network(SIZES)
    broken.word_table.weight.data[3, 1] = number
    with pytest.raises(VimaError, match=r"word_table\.weight .*not finite"):
        save_weights(broken, tmp_path / "tiny.safetensors", {})
    assert not list(tmp_path.iterdir())


def test_a_size_that_would_not_load_is_not_saved(tmp_path):
    far = random_network(SIZES | {"t5_max_distance": MAX_SIZE + 1})
    with pytest.raises(VimaError, match="t5_max_distance"):
        save_weights(far, tmp_path / "tiny.safetensors", {})
    assert not list(tmp_path.iterdir())


def test_the_same_network_makes_the_same_files(tmp_path):
    made = []
    for name in ("one", "other"):
        save_checkpoint(random_network(SIZES), tmp_path / f"{name}.ckpt")
        save_weights(random_network(SIZES), tmp_path / f"{name}.safetensors", {})
        made.append([sha256(file) for file in sorted(tmp_path.glob(f"{name}.*"))])
    assert len(made[0]) == 3
    assert made[0] == made[1]


def test_the_suffix_is_part_of_the_form(tmp_path, network, path):
    with pytest.raises(VimaError, match=r"tiny\.json does not end in \.safetensors"):
        save_weights(network, tmp_path / "tiny.json", {})
    with pytest.raises(VimaError, match=r"\.json does not end in"):
        load_weights(text_of(path), {})
