"""Loading: what is right loads, what is wrong is refused whole and by name."""

import hashlib
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import policy_goldens as goldens
import pytest
import torch

from vima_ros.errors import VimaError
from vima_ros.policy import load_policy
from vima_ros.policy.checkpoints.load import random_network
from vima_ros.policy.checkpoints.published import (
    T5_WORD_EMBEDDINGS,
    expected_tensors,
    load_checkpoint,
    published_checkpoint,
    save_checkpoint,
)
from vima_ros.policy.checkpoints.safetensors import describe
from vima_ros.policy.config import VimaConfig
from vima_ros.policy.model.network import VimaNetwork
from vima_ros.policy.tokenizer import T5, bundled_tokenizer

# docs/vima_architecture.md, "Network sizes": embed_dim, layers, heads; parameters and keys.
PUBLISHED = {
    "2M": (256, 1, 8, 2_298_112, 176_557_888, 302),
    "4M": (256, 2, 8, 4_399_616, 178_659_392, 327),
    "9M": (320, 3, 10, 10_092_480, 185_143_168, 352),
    "20M": (384, 4, 12, 19_195_392, 195_045_184, 377),
    "43M": (512, 5, 16, 42_379_776, 219_852_352, 402),
    "92M": (640, 7, 20, 92_318_080, 271_446_208, 452),
    "200M": (768, 11, 24, 208_351_488, 388_578_112, 551),
}


@pytest.fixture
def content():
    return torch.load(goldens.checkpoint(), weights_only=True)


@pytest.fixture
def saved(tmp_path):
    def save(content) -> Path:
        path = tmp_path / "vima.ckpt"
        torch.save(content, path)
        return path

    return save


def refused(path, code="BAD_CHECKPOINT", match=None, **options):
    with pytest.raises(VimaError, match=match) as error:
        load_policy(path, **{"config": goldens.CONFIG, **options})
    assert error.value.code == code


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_network_of_each_published_size_has_its_parameters_and_keys(name):
    width, layers, heads, controller, everything, keys = PUBLISHED[name]
    config = VimaConfig(
        embed_dim=width, xf_n_layers=layers, sattn_n_heads=heads, xattn_n_heads=heads
    )
    with torch.device("meta"):
        network = VimaNetwork(config)
    expected = expected_tensors(network)
    assert len(expected) == keys
    told = describe(network)
    unread = config.vocabulary * config.t5_width
    assert told["name"] == name
    assert told["controller_parameters"] == controller
    assert told["parameters"] + unread == everything


def test_defaults_are_the_published_200m():
    assert VimaConfig().embed_dim == 768


def test_other_heads_are_no_published_size():
    with torch.device("meta"):
        network = VimaNetwork(VimaConfig(256, 1, 8, 8, vit_heads=12))
    assert describe(network)["name"] == "VIMA 2.3M"


def test_sizes_come_from_the_file():
    policy = load_policy(goldens.checkpoint(), config=goldens.CONFIG)
    assert policy.network.config == VimaConfig(
        embed_dim=64,
        xf_n_layers=2,
        sattn_n_heads=4,
        xattn_n_heads=4,
        vit_width=48,
        vit_layers=2,
        vit_heads=4,
        vit_output=48,
        box_width=48,
        action_hidden=32,
        action_width=32,
        decoder_hidden=64,
        prompt_object_hidden=48,
        vocabulary=400,
        t5_width=48,
        t5_layers=2,
        t5_heads=4,
        t5_head_width=12,
        t5_feed_forward=96,
    )
    assert not policy.network.training


def test_the_description_names_file_hash_sizes_and_parameters():
    path = goldens.checkpoint()
    policy = load_policy(path, config=goldens.CONFIG)
    told = policy.description
    assert policy.trained
    assert told["trained"]
    assert told["checkpoint"] == path.name
    assert told["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert told["config"]["embed_dim"] == 64
    state = torch.load(path, weights_only=True)["state_dict"]
    unread = [f"policy.{name}" for name in T5_WORD_EMBEDDINGS]
    assert told["parameters"] == sum(
        tensor.numel()
        for name, tensor in state.items()
        if name not in unread and not name.endswith(("position_ids", ".attn.bias"))
    )


def test_a_saved_network_loads_as_it_was(saved):
    """Also with the layers that do not exist where two widths are equal."""
    config = {"embed_dim": 48, "action_width": 12, "vit_heads": 6, "t5_max_distance": 64}
    network = random_network(config)
    content = published_checkpoint(network)
    assert not [name for name in content["state_dict"] if "_post_layer.w" in name]
    loaded = load_checkpoint(saved(content), {})
    assert loaded.config == network.config
    want = network.state_dict()
    assert loaded.state_dict().keys() == want.keys()
    assert all(torch.equal(tensor, want[name]) for name, tensor in loaded.state_dict().items())


def test_saving_gives_back_the_published_file(content):
    network = load_checkpoint(goldens.checkpoint(), goldens.CONFIG)
    again = published_checkpoint(network)
    assert again["cfg"] == content["cfg"] | goldens.CONFIG
    assert set(again["state_dict"]) == set(content["state_dict"])
    unread = {f"policy.{name}" for name in T5_WORD_EMBEDDINGS}
    for name, tensor in content["state_dict"].items():
        assert name in unread or torch.equal(tensor, again["state_dict"][name])


@pytest.mark.slow
def test_every_prefix_is_removed(content, saved):
    content["state_dict"] = {
        name.replace("controller", "policy.controller").replace("xattn", "policy.xattn"): tensor
        for name, tensor in content["state_dict"].items()
    }
    load_policy(saved(content), config=goldens.CONFIG)


def wrapped(name, how):
    """A published tensor's name as DataParallel, torch.compile or both store it."""
    part = name.removeprefix("policy.")
    return {
        "DataParallel": f"module.{name}",
        "compile": f"_orig_mod.{name}",
        "compile of DataParallel": f"_orig_mod.module.{name}",
        "DataParallel of compile": f"module._orig_mod.{name}",
        "compile inside": f"policy._orig_mod.{part}",
        "compile of a part": name.replace("xattn_gpt.", "xattn_gpt._orig_mod."),
    }[how]


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [
        "DataParallel",
        "compile",
        "compile of DataParallel",
        "DataParallel of compile",
        "compile inside",
        "compile of a part",
    ],
)
def test_prefixes_of_wrappers_are_taken_off_and_said_once(content, saved, caplog, how):
    want = load_policy(goldens.checkpoint(), config=goldens.CONFIG).network.state_dict()
    state = content["state_dict"]
    content["state_dict"] = {wrapped(name, how): tensor for name, tensor in state.items()}
    got = load_policy(saved(content), config=goldens.CONFIG).network.state_dict()
    assert all(torch.equal(tensor, want[name]) for name, tensor in got.items())
    (record,) = caplog.records
    assert "vima.ckpt: " in record.getMessage()
    assert ("module." in record.getMessage()) == ("DataParallel" in how)
    assert ("_orig_mod." in record.getMessage()) == ("compile" in how)


def test_two_tensors_that_only_a_prefix_tells_apart(content, saved):
    state = content["state_dict"]
    state |= {f"module.{name}": tensor for name, tensor in list(state.items())[:1]}
    refused(saved(content), match="two keys are the same once their prefixes are gone")


def test_cfg_may_tell_the_heads(content, saved):
    content["cfg"]["vit_heads"] = 4
    assert load_policy(saved(content)).network.config.vit_heads == 4


def test_without_a_word_the_heads_are_the_published_ones():
    assert load_policy(goldens.checkpoint()).network.config.vit_heads == 24


def test_random_weights_are_always_the_same():
    torch.manual_seed(1)
    want = random_network({}).state_dict()
    torch.manual_seed(2)
    drawn = torch.rand(1)
    torch.manual_seed(2)
    other = random_network({}).state_dict()
    assert torch.equal(torch.rand(1), drawn)  # and nobody else's are touched
    assert all(torch.equal(tensor, want[name]) for name, tensor in other.items())


def test_the_policy_without_a_checkpoint():
    policy = load_policy("random")
    assert not policy.trained
    assert policy.description["checkpoint"] is None
    assert policy.network.config.vocabulary == bundled_tokenizer().words


def test_a_missing_file_is_named(tmp_path):
    refused(tmp_path / "none.ckpt", match=r"no file .*none\.ckpt")


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path, part):
    whole = goldens.checkpoint().read_bytes()
    path = tmp_path / "cut.ckpt"
    path.write_bytes(whole[: int(len(whole) * part)])
    refused(path, match=r"cut\.ckpt cannot be read")


@pytest.mark.parametrize("bytes_", [b"not a torch file", b"PK\x03\x04 not a zip", b"\x80\x02."])
def test_a_file_that_torch_did_not_write_is_refused(tmp_path, bytes_):
    path = tmp_path / "text.ckpt"
    path.write_bytes(bytes_)
    refused(path, match="cannot be read")


class Mischief:
    """Unpickling this would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("container", ["torch", "pickle", "inside"])
def test_code_in_the_file_is_not_run(tmp_path, content, container):
    made, path = tmp_path / "made", tmp_path / "code.ckpt"
    if container == "pickle":
        path.write_bytes(pickle.dumps(Mischief(made), protocol=2))
    else:
        content["cfg"]["more"] = Mischief(made)
        torch.save(content if container == "inside" else Mischief(made), path)
    refused(path, match="cannot be read")
    assert not made.exists()


def test_another_zip_is_refused(tmp_path):
    path = tmp_path / "other.ckpt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data.pkl", "nothing")
    refused(path, match="cannot be read")


@pytest.mark.parametrize("content", [[1], {"model": {}}, {"state_dict": [], "cfg": {}}])
def test_another_container_is_refused(saved, content):
    refused(saved(content))


KEYS = (
    "policy.xattn_gpt.h.1.mlp.c_fc.weight",
    "policy.xattn_gpt.position_ids",
    "policy.xattn_gpt.positions_embed.weight",
    "policy.t5_prompt_encoder.t5.shared.weight",
    "policy.obj_encoder.cropped_img_encoder.vit.cls_token",
    "policy.t5_prompt_encoder_post_layer.weight",
    "policy.action_encoder._post_layer.bias",
)


@pytest.mark.slow
@pytest.mark.parametrize("key", KEYS)
def test_a_missing_key_is_named(content, saved, key):
    del content["state_dict"][key]
    refused(saved(content), match=f"{key.removeprefix('policy.')} is missing")


@pytest.mark.parametrize(
    "key", ["policy.extra.weight", "policy.xattn_gpt.extra", "policy.controller.h.0.ln_1.weight"]
)
def test_an_extra_key_is_named(content, saved, key):
    content["state_dict"][key] = torch.zeros(1)
    refused(saved(content), match=f"{key.removeprefix('policy.')} is not VIMA's")


@pytest.mark.slow
@pytest.mark.parametrize("key", KEYS)
def test_a_wrong_shape_is_named(content, saved, key):
    content["state_dict"][key] = content["state_dict"][key][:-1]
    refused(saved(content))


@pytest.mark.slow
@pytest.mark.parametrize("key", KEYS)
def test_a_wrong_dtype_is_named(content, saved, key):
    content["state_dict"][key] = content["state_dict"][key].half()
    refused(saved(content), match=r"float16")


def test_a_number_that_is_not_finite(content, saved):
    content["state_dict"][KEYS[0]][0, 0] = float("nan")
    refused(saved(content), match=r"xattn_gpt\.h\.1\.mlp\.c_fc\.weight .*not finite")


HUGE = torch.zeros(1).expand(10**9, 10**9)  # one number is stored


@pytest.mark.parametrize(
    "value",
    [3, "text", None, torch.eye(64).to_sparse(), torch.empty(64, 64, device="meta"), HUGE],
)
def test_what_is_no_dense_tensor(content, saved, value):
    content["state_dict"][KEYS[0]] = value
    refused(saved(content), match="not a dense tensor")


def test_a_key_that_is_no_text(content, saved):
    content["state_dict"][7] = torch.zeros(1)
    refused(saved(content), match="key 7")


def test_another_causal_mask_is_refused(content, saved):
    content["state_dict"]["policy.xattn_gpt.h.0.attn.bias"].fill_(1.0)
    refused(saved(content), match=r"h\.0\.attn\.bias holds other values")


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"embed_dim": 128},
        {"xf_n_layers": 3},
        {"sattn_n_heads": 5},
        {"sattn_n_heads": 0},
        {"xattn_n_heads": "4"},
        {"xattn_n_heads": torch.zeros(3)},
        {"xf_n_layers": 2**40},
        {"t5_max_distance": 10**400},
        {"n_positions": 256},
    ],
)
def test_a_cfg_that_does_not_fit(content, saved, change):
    content["cfg"] |= change
    refused(saved(content), match=next(iter(change)))


def test_a_cfg_that_lacks_heads(content, saved):
    del content["cfg"]["sattn_n_heads"]
    refused(saved(content), match="sattn_n_heads")


@pytest.mark.parametrize(
    "config", [{"embed_dim": 128}, {"colour": 3}, {"vit_heads": 5}, {"t5_max_distance": 10**400}]
)
def test_a_config_that_cannot_be_with_the_file(config):
    refused(goldens.checkpoint(), "BAD_CONFIG", next(iter(config)), config=config)


@pytest.mark.parametrize("config", [{"colour": 3}, {"vit_heads": 5}, {"embed_dim": -64}])
def test_a_bad_config_for_random_weights(config):
    refused("random", "BAD_CONFIG", next(iter(config)), config=config)


def test_a_dtype_that_is_not_offered():
    refused(
        None, "BAD_DTYPE", "valid on cpu: float32, bfloat16, int8", config=None, dtype="float16"
    )


@pytest.mark.parametrize("device", ["abacus", "cuda:99", "meta"])
def test_a_device_that_is_not_there(device):
    refused("random", "BAD_DEVICE", device, config=None, device=device)


def test_the_tokenizer_of_a_published_checkpoint_is_t5s(tmp_path):
    """Unless it has the bundled one's rows: then it was written here."""
    assert load_policy(goldens.checkpoint(), config=goldens.CONFIG).tokenizer == T5
    ours = random_network({"vocabulary": bundled_tokenizer().words})
    save_checkpoint(ours, tmp_path / "ours.ckpt")
    assert load_policy(tmp_path / "ours.ckpt").tokenizer == bundled_tokenizer()
    assert load_policy("random").tokenizer == bundled_tokenizer()


def test_a_published_checkpoint_picks_by_the_bins_as_in_the_paper():
    assert load_policy(goldens.checkpoint(), config=goldens.CONFIG).pick == "bins"
    policy = load_policy(goldens.checkpoint(), config=goldens.CONFIG, pick="grounded")
    assert policy.pick == "grounded"


WHOLE_IMAGES = [(name, "grounded", "bins") for name in ("gpt", "gato", "flamingo")]


def test_a_pick_that_there_is_not_or_that_needs_objects_is_refused():
    for conditioning, pick, valid in (("vima", "middle", "bins, grounded"), *WHOLE_IMAGES):
        with pytest.raises(VimaError, match=f"pick is '{pick}'.*valid: {valid}$") as error:
            load_policy("random", config={"conditioning": conditioning}, pick=pick)
        assert error.value.code == "BAD_CONFIG"


def test_importing_the_package_loads_neither_torch_nor_transformers():
    code = (
        "import sys, vima_ros.policy, vima_ros.policy.tokenizer\n"
        "print({'torch', 'transformers', 'rclpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[4] / "src")},
    )
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("config", [{"t5_buckets": 3}, {"t5_buckets": 1}, {"t5_max_distance": 8}])
def test_relative_positions_that_t5_cannot_count(config):
    refused("random", "BAD_CONFIG", "t5_max_distance", config=config)
    load_policy("random", config={"t5_buckets": 4, "t5_max_distance": 2})
