"""Our own form of a checkpoint: what is wrong is refused whole and by name."""

import json
import os
import struct
from itertools import cycle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from policy_weights import (
    SIZES,
    change_config,
    change_tensors,
    change_text,
    refused,
    sign,
    text_of,
)

from vima_ros.errors import VimaError
from vima_ros.policy import load_policy
from vima_ros.policy.checkpoints.load import random_network
from vima_ros.policy.checkpoints.published import save_checkpoint
from vima_ros.policy.checkpoints.safetensors import MAX_TEXT, save_weights
from vima_ros.policy.checkpoints.validation import MAX_SIZE, check_tensors, infer_config
from vima_ros.policy.config import VimaConfig

KEYS = (
    "word_table.weight",
    "controller.h.1.mlp.c_fc.weight",
    "controller.positions_embed.weight",
    "object_encoder.vit.cls_token",
    "prompt_projection.weight",
    "action_encoder.join.bias",
)
SHAPES = (lambda t: t[:-1], lambda t: t[None], lambda t: t[:0])
DTYPES = (torch.float16, torch.bfloat16, torch.float64, torch.int32)
NUMBERS = (float("nan"), float("inf"), float("-inf"))


@pytest.fixture(scope="module")
def network():
    return random_network(SIZES)


@pytest.fixture
def path(tmp_path, network):
    """A good pair of files."""
    path = tmp_path / "tiny.v2.safetensors"
    save_weights(network, path, {})
    return path


# --- bad tensors


def test_a_missing_file_is_named(path):
    path.rename(path.with_name("away"))
    refused(path, r"no file .*tiny\.v2\.safetensors")
    path.with_name("away").rename(path)
    text_of(path).unlink()
    refused(path, r"no file .*tiny\.v2\.json")


@pytest.mark.slow
@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.999])
@pytest.mark.parametrize("signed", [False, True])
def test_a_truncated_file_is_named(path, part, signed):
    os.truncate(path, int(path.stat().st_size * part))
    if signed:
        sign(path)
    refused(path, r"tiny\.v2\.safetensors cannot be read")


def header(**tensors):
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text


def entry(shape, size, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        b"no such format",
        b"\xff" * 64,
        struct.pack("<Q", 10**15) + b"{}",
        header(a=entry([-1], 4)) + b"0000",
        header(a=entry([10**12, 10**12], 4)) + b"0000",
        header(a=entry([1], 10**12)),
        header(a=entry([1], 4, "F99")) + b"0000",
        struct.pack("<Q", 10**5) + b"[" * 10**5,
    ],
)
def test_a_foreign_file_is_named(path, content):
    path.write_bytes(content)
    sign(path)
    refused(path, r"tiny\.v2\.safetensors cannot be read")


def test_a_published_file_by_the_other_name(path, network, tmp_path):
    save_checkpoint(network, path)
    sign(path)
    refused(path, "cannot be read")
    save_weights(network, path, {})
    path.rename(tmp_path / "tiny.ckpt")
    refused(tmp_path / "tiny.ckpt", "cannot be read")


def test_another_file_than_the_text_is_about(path, network):
    other = random_network(SIZES)
    other.word_table.weight.data[0] += 1
    text = text_of(path).read_bytes()
    save_weights(other, path, {})
    text_of(path).write_bytes(text)
    refused(path, r"has sha256 \w+, its JSON has")


@pytest.mark.slow
@given(st.data())
def test_any_changed_byte_is_noticed(tmp_path_factory, data):
    path = _good(tmp_path_factory) / "tiny.safetensors"
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    other = path.with_name("other.safetensors")
    other.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    text_of(other).write_bytes(text_of(path).read_bytes())
    refused(other, r"cannot be read|has sha256")


def _good(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "good"
    if not folder.exists():
        folder.mkdir()
        save_weights(random_network(SIZES), folder / "tiny.safetensors", {})
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("key", KEYS)
def test_a_missing_tensor_is_named(path, key):
    change_tensors(path, lambda tensors: tensors.pop(key))
    refused(path, f"{key} is missing")


@pytest.mark.parametrize("key", ["extra", "controller.h.0.attn.bias", "t5.shared.weight"])
def test_an_extra_tensor_is_named(path, key):
    change_tensors(path, lambda tensors: tensors.update({key: torch.zeros(1)}))
    refused(path, f"{key} is not VIMA's")


@pytest.mark.slow
@pytest.mark.parametrize(("key", "change"), list(zip(KEYS, cycle(SHAPES), strict=False)))
def test_a_wrong_shape_is_named(path, key, change):
    change_tensors(path, lambda tensors: tensors.update({key: change(tensors[key])}))
    refused(path, "shape|tensors have|, not torch")


def test_published_layout_is_a_wrong_shape(path):
    key = "controller.h.0.mlp.c_fc.weight"
    change_tensors(path, lambda tensors: tensors.update({key: tensors[key].t()}))
    refused(path, rf"{key} is torch\.float32 \(64, 256\), not torch\.float32 \(256, 64\)")


@pytest.mark.slow
@pytest.mark.parametrize(("key", "dtype"), list(zip(KEYS, cycle(DTYPES), strict=False)))
def test_a_wrong_dtype_is_named(path, key, dtype):
    change_tensors(path, lambda tensors: tensors.update({key: tensors[key].to(dtype)}))
    refused(path, f"{key} is {dtype} ")


@pytest.mark.slow
@pytest.mark.parametrize(("key", "number"), list(zip(KEYS, cycle(NUMBERS), strict=False)))
def test_a_number_that_is_not_finite(path, key, number):
    change_tensors(path, lambda tensors: tensors[key].view(-1)[-1:].fill_(number))
    refused(path, f"{key} holds numbers that are not finite")


def test_too_many_tensors_are_refused(path):
    more = {f"controller.h.{i}.x": torch.zeros(0) for i in range(6000)}
    change_tensors(path, lambda tensors: tensors.update(more))
    refused(path, "tensors, more than 5000")


# --- bad text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\xff",
        b'{"format": ',
        b"[" * 10**5,
        b"9" * 10**5,
        b'{"card": NaN}',
        b'{"card": "\\ud800"}',
        b"3",
        b"null",
        b'"x"',
    ],
)
def test_text_that_is_not_json(path, content):
    text_of(path).write_bytes(content)
    refused(path, r"tiny\.v2\.json cannot be read")


def test_too_long_a_text_is_refused(path):
    text_of(path).write_bytes(text_of(path).read_bytes() + b" " * MAX_TEXT)
    refused(path, f"more than {MAX_TEXT} bytes")


@pytest.mark.parametrize("content", [b"[]", b"{}"])
def test_json_of_something_else_is_refused(path, content):
    text_of(path).write_bytes(content)
    refused(path, "where format, config, sha256, card were expected")


@pytest.mark.parametrize("name", ["format", "config", "sha256", "card"])
def test_a_part_that_is_missing_or_of_another_type(path, name):
    whole = text_of(path).read_bytes()
    change_text(path, **{name: None})
    refused(path, "were expected")
    text_of(path).write_bytes(whole)
    change_text(path, **{name: 3})
    refused(path, f"{name} is a int")
    text_of(path).write_bytes(whole)
    change_text(path, more={})
    refused(path, "'more'")


def test_another_version_of_the_form(path):
    change_text(path, format="vima_ros weights 2")
    refused(path, "'vima_ros weights 2', this version reads 'vima_ros weights 1'")


UNSEEN = ["sattn_n_heads", "xattn_n_heads", "vit_heads", "t5_max_distance"]  # in no tensor


@pytest.mark.parametrize("name", UNSEEN)
def test_a_config_that_lacks_a_field(path, name):
    config = json.loads(text_of(path).read_text())["config"]
    del config[name]
    change_text(path, config=config)
    refused(path, f"cfg has no {name}")


def test_what_the_tensors_show_need_not_be_stated(path, network):
    config = json.loads(text_of(path).read_text())["config"]
    change_text(path, config={name: config[name] for name in UNSEEN})
    assert load_policy(path).network.config == network.config


@pytest.mark.parametrize("name", ["perceiver_heads", "perceiver_blocks"])
def test_a_config_that_lacks_a_field_of_its_perceiver(tmp_path, name):
    path = tmp_path / "flamingo.safetensors"
    save_weights(random_network(SIZES | {"conditioning": "flamingo"}), path, {})
    config = json.loads(text_of(path).read_text())["config"]
    del config[name]
    change_text(path, config=config)
    refused(path, f"cfg has no {name}")


def test_a_config_with_another_field(path):
    change_config(path, n_positions=256)
    refused(path, "n_positions, unknown to VIMA")


@pytest.mark.slow
@pytest.mark.parametrize(
    "value", [0, -1, 1.0, True, None, "8", [8], {}, MAX_SIZE + 1, 2**63, 10**400]
)
@pytest.mark.parametrize("name", ["xf_n_layers", "t5_max_distance"])
def test_a_config_value_that_is_no_size(path, name, value):
    change_config(path, **{name: value})
    refused(path, f"cfg's {name} are not whole numbers from 1")


OF_OTHERS = {n for n in vars(VimaConfig()) if "perceiver" in n} | {"place_hidden"}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(vars(VimaConfig())) - OF_OTHERS - {"vit_heads"}))
def test_a_config_that_the_tensors_contradict(path, name):
    """Heads and the distance, which no tensor tells, are believed where they are possible."""
    value = 7 if name != "t5_max_distance" else MAX_SIZE + 1
    change_config(path, **{name: value})
    refused(path, name)


def test_the_text_tells_what_no_tensor_does(path):
    change_config(path, vit_heads=8, t5_max_distance=100)
    config = load_policy(path).network.config
    assert (config.vit_heads, config.t5_max_distance) == (8, 100)


@pytest.mark.parametrize(
    "config", [{"embed_dim": 128}, {"vit_heads": 8}, {"colour": 3}, {"vit_heads": MAX_SIZE + 1}]
)
def test_an_override_that_the_file_contradicts(path, config):
    refused(path, next(iter(config)), "BAD_CONFIG", config=config)


def test_an_override_that_agrees_with_the_file_is_taken(path):
    load_policy(path, config={"vit_heads": 6, "embed_dim": 64})


def test_a_shape_that_no_network_can_have(network):
    """A tensor without numbers may have any shape: it must not get as far as the network."""
    state = dict(network.state_dict())
    state["controller.positions_embed.weight"] = torch.zeros(0, 10**12)
    with pytest.raises(VimaError, match="positions_embed"):
        infer_config(state, vars(network.config), {})


def test_only_a_few_of_many_faults_are_named(network):
    want = network.state_dict()
    with pytest.raises(VimaError, match=rf"\(and {len(want) - 3} more\)"):
        check_tensors({}, want)
