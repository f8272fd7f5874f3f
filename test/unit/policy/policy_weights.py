"""Small files of weights in either form, for several tests."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from vima_ros.errors import VimaError
from vima_ros.policy import load_policy
from vima_ros.policy.checkpoints.published import published_checkpoint

# With a vocabulary of its own, or most of the time goes into a large word embedding; and where the
# published file says neither of the last two.
SIZES = {"vocabulary": 60, "vit_heads": 6, "t5_max_distance": 64}


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def text_of(path):
    return path.with_suffix(".json")


def change_text(path, **change):
    """Other parts in the JSON; those of None are taken out."""
    document = json.loads(text_of(path).read_text()) | change
    document = {name: value for name, value in document.items() if value is not None}
    text_of(path).write_text(json.dumps(document))


def change_config(path, **change):
    change_text(path, config=json.loads(text_of(path).read_text())["config"] | change)


def sign(path):
    """Make the JSON's hash the file's own."""
    change_text(path, sha256=sha256(path))


def change_tensors(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    sign(path)


def save_as_published(network, path):
    """Each tensor stored as the original has it, and not as a view of ours."""
    content = published_checkpoint(network)
    content["state_dict"] = {n: t.contiguous() for n, t in content["state_dict"].items()}
    torch.save(content, path)


def refused(path, match, code="BAD_CHECKPOINT", **options):
    with pytest.raises(VimaError, match=match) as error:
        load_policy(path, **options)
    assert error.value.code == code
