"""The tool: either direction, nothing overwritten unasked, nothing half-written."""

import json
import pickle
from dataclasses import asdict

import pytest
import torch

pytest.importorskip("rclpy")
pytest.importorskip("vima_msgs")

from vima_ros.cli.convert_checkpoint import main
from vima_ros.policy.checkpoints.load import load_network, random_network
from vima_ros.policy.checkpoints.published import save_checkpoint
from vima_ros.policy.checkpoints.safetensors import load_weights
from vima_ros.policy.tokenizer import T5
from vima_ros.program import exit_code

SIZES = {"vocabulary": 60, "vit_heads": 6, "t5_max_distance": 64}


@pytest.fixture
def published(tmp_path):
    """A file that tells neither of the last two sizes."""
    path = tmp_path / "tiny.ckpt"
    save_checkpoint(random_network(SIZES), path)
    content = torch.load(path, weights_only=True)
    content["cfg"] = {k: v for k, v in content["cfg"].items() if k not in SIZES}
    torch.save(content, path)
    return path


@pytest.fixture
def own(tmp_path):
    return tmp_path / "own.safetensors"


def run(*args):
    assert exit_code("convert_checkpoint", main, [*map(str, args)]) == 0


def fails(capsys, sentence, *args):
    """The tool says one line, usage before it where that is wrong, and exits with 2."""
    assert exit_code("convert_checkpoint", main, [*map(str, args)]) == 2
    said = capsys.readouterr().err
    last = said.strip().split("\n")[-1]
    assert last.startswith("convert_checkpoint: ")
    assert sentence in last
    assert said.startswith("usage: ") or said.count("\n") == 1


@pytest.mark.slow
def test_a_converted_checkpoint_has_the_same_tensors_and_names_its_source(
    published, own, tmp_path, capsys
):
    run(published, own, "--vit-heads", 6, "--t5-max-distance", 64)
    network, card, sha256 = load_weights(own, {})
    assert network.config == random_network(SIZES).config
    origin = load_network(published, {})[1]
    assert card["source"] == {"file": "tiny.ckpt", "sha256": origin["sha256"]}
    assert card["tokenizer"] == asdict(T5)
    said = capsys.readouterr().out
    for told in (card["name"], card["parameters"], card["controller_parameters"]):
        assert f": {told}\n" in said
    assert "config.vit_heads: 6\n" in said
    assert origin["sha256"] in said
    assert sha256 in said

    back = tmp_path / "back.ckpt"
    run(own, back)
    assert "the card stays in" in capsys.readouterr().out
    before, after = (torch.load(path, weights_only=True) for path in (published, back))
    assert after["cfg"] == before["cfg"] | {"vit_heads": 6, "t5_max_distance": 64}
    assert before["state_dict"].keys() == after["state_dict"].keys()
    for name, tensor in before["state_dict"].items():
        assert torch.equal(tensor, after["state_dict"][name])


@pytest.mark.slow
@pytest.mark.parametrize("there", ["own.safetensors", "own.json"])
def test_nothing_is_overwritten_unasked(published, own, tmp_path, capsys, there):
    (tmp_path / there).write_text("precious")
    fails(capsys, f"{there} would be overwritten; valid: --force", published, own)
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.ckpt", there}
    assert (tmp_path / there).read_text() == "precious"
    run(published, own, "--force")
    load_weights(own, {})


def test_nothing_is_overwritten_unasked_the_other_way(published, own, tmp_path, capsys):
    run(published, own)
    capsys.readouterr()
    before = published.read_bytes()
    fails(capsys, "tiny.ckpt would be overwritten", own, published)
    assert published.read_bytes() == before
    run(own, published, "--force")
    assert load_network(published, {})[1]["card"]["name"]


class Mischief:
    """Unpickling this would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("container", ["torch", "pickle", "inside"])
def test_code_in_the_source_is_not_run(published, own, tmp_path, capsys, container):
    made = tmp_path / "made"
    if container == "pickle":
        published.write_bytes(pickle.dumps(Mischief(made), protocol=2))
    else:
        content = torch.load(published, weights_only=True)
        content["cfg"]["more"] = Mischief(made)
        torch.save(content if container == "inside" else Mischief(made), published)
    fails(capsys, "BAD_CHECKPOINT: tiny.ckpt cannot be read", published, own)
    assert list(tmp_path.iterdir()) == [published]


def test_a_bad_source_leaves_what_is_there(published, own, tmp_path, capsys):
    run(published, own)
    capsys.readouterr()
    before = {path: path.read_bytes() for path in (own, own.with_suffix(".json"))}
    published.write_bytes(published.read_bytes()[:-100])
    fails(capsys, "cannot be read", published, own, "--force")
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(tmp_path.iterdir())) == 3


def test_a_source_that_is_not_there(own, tmp_path, capsys):
    fails(capsys, "there is no file", tmp_path / "none.ckpt", own)


def test_a_folder_that_is_not_there(published, tmp_path, capsys):
    fails(capsys, "CANNOT_WRITE", published, tmp_path / "none" / "own.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    fails(capsys, "CANNOT_WRITE", published, tmp_path / "folder.safetensors", "--force")


def test_impossible_sizes_are_refused_and_nothing_is_written(published, own, capsys):
    fails(capsys, "BAD_CONFIG: vit_heads is 7", published, own, "--vit-heads", 7)
    fails(capsys, "BAD_CONFIG: config's vit_heads", published, own, "--vit-heads", 0)
    fails(capsys, "invalid int value", published, own, "--vit-heads", "many")
    assert not own.exists()
    run(published, own)
    capsys.readouterr()
    back = own.with_suffix(".ckpt")
    fails(capsys, "BAD_CONFIG: config has vit_heads 6", own, back, "--vit-heads", 6)
    assert not back.exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("own.pt", "does not end in .safetensors or .ckpt"),
        ("own", "does not end in .safetensors or .ckpt"),
        ("own.json", "does not end in .safetensors or .ckpt"),
        ("other.ckpt", "one ends in .safetensors"),
    ],
)
def test_a_target_that_is_no_other_form(published, tmp_path, capsys, name, sentence):
    fails(capsys, sentence, published, tmp_path / name)
    assert list(tmp_path.iterdir()) == [published]


def test_a_hostile_card_is_one_line_too(published, own, capsys):
    run(published, own)
    capsys.readouterr()
    text = own.with_suffix(".json")
    document = json.loads(text.read_text())
    document["card"]["name"] = "\ud800"
    text.write_text(json.dumps(document))
    fails(capsys, "own.json cannot be read", own, own.with_suffix(".ckpt"))
