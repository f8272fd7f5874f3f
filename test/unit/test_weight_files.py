"""Files that are no weights are named as what they are, wherever weights are loaded."""

import io
import re
import zipfile

import pytest
import torch
from helpers import ROOT
from odd_files import LOADER_TEXT, ODD_FILES, ODD_TORCH, SAFE, TENSORS

from vima_ros.errors import VimaError
from vima_ros.perception.detectors.base import DetectorSettings
from vima_ros.perception.detectors.model_files import read_weights
from vima_ros.perception.detectors.onnx_runtime import OnnxDetector
from vima_ros.policy import load_policy
from vima_ros.policy.tokenizer import OWN_TOKENIZER, PromptTokenizer
from vima_ros.state_dict_names import strip_wrappers
from vima_ros.training.data.readers import read_demonstrations
from vima_ros.training.run_directory import CHECKPOINT, load_checkpoint
from vima_ros.weight_files import JSON, NPZ, ONNX, SAFETENSORS, TORCH, file_kind

ONNX_FILE = ROOT / "test" / "data" / "onnx" / "good.onnx"


def resume(path):
    layer = torch.nn.Linear(1, 1)
    path.replace(path.with_name(CHECKPOINT))
    load_checkpoint(path.parent, layer, torch.optim.swa_utils.AveragedModel(layer), None)


def start_detector(path):
    start = pytest.importorskip("vima_ros.training.detector.warm_start")
    start.start_from(torch.nn.Linear(1, 1), path, torch.zeros(1, 128, 256, 3, dtype=torch.uint8))


LOADERS = {
    "policy": (load_policy, ".ckpt"),
    "policy of our form": (load_policy, ".safetensors"),
    "detector": (lambda path: OnnxDetector(DetectorSettings(weights=str(path))), ".onnx"),
    "detector to start from": (start_detector, ".onnx"),
    "tokenizer": (PromptTokenizer, ".json"),
    "episodes": (lambda path: list(read_demonstrations(path)), ".npz"),
    "training run": (resume, ".pt"),
}


OTHERWISE = {
    ("training run", "broken_link"): "there is no run yet",
    ("episodes", "folder"): "it is searched",
}


def refusal(loader, make, folder):
    load, ending = LOADERS[loader]
    path = folder / f"named{ending}"
    if loader == "policy of our form":
        document = '{"format": "vima_ros weights 1", "config": {}, "sha256": "", "card": {}}'
        path.with_suffix(".json").write_text(document)
    make(path)
    with pytest.raises(VimaError) as error:
        load(path)
    assert not re.search(LOADER_TEXT, str(error.value)), str(error.value)
    return str(error.value)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("name", ODD_FILES)
def test_a_file_of_another_kind_is_named(name, loader, tmp_path):
    make, words = ODD_FILES[name]
    if (loader, name) in OTHERWISE:
        pytest.skip(OTHERWISE[loader, name])
    assert re.search(words, refusal(loader, make, tmp_path))


@pytest.mark.parametrize("loader", ["policy", "training run"])
@pytest.mark.parametrize("name", ODD_TORCH)
def test_a_torch_file_that_cannot_be_loaded_as_data(name, loader, tmp_path):
    make, words = ODD_TORCH[name]
    assert re.search(words, refusal(loader, make, tmp_path))


def test_a_file_of_the_other_form_says_which_name_it_needs(tmp_path):
    other = refusal("policy", lambda path: path.write_bytes(SAFE), tmp_path)
    assert re.search("a safetensors file; its name has to end in .safetensors", other)
    other = refusal("policy of our form", lambda path: torch.save(TENSORS, path), tmp_path)
    assert re.search("a PyTorch file; its name may not end in .safetensors", other)
    other = refusal("policy", lambda path: path.write_text('{"a": 1}'), tmp_path)
    assert "a JSON text" in other


@pytest.mark.parametrize("size", [1, 3, 100, 5000, 11000])
def test_an_onnx_file_that_is_cut_off(size, tmp_path):
    said = refusal(
        "detector", lambda path: path.write_bytes(ONNX_FILE.read_bytes()[:size]), tmp_path
    )
    assert "cut off" in said if size > 1 else "in no known form" in said


def test_other_networks_state_dicts(tmp_path):
    said = refusal("policy", lambda path: torch.save(TENSORS, path), tmp_path)
    assert "only tensors (1, such as layer.weight; another model's state dict?)" in said
    other = {"step": 1, "model": TENSORS, "averaged": {}, "optimizer": {}, "sums": {}}
    assert "another network's" in refusal("training run", lambda p: torch.save(other, p), tmp_path)
    assert "it has no 'model'" in refusal("training run", lambda p: torch.save({}, p), tmp_path)


def test_a_sentencepiece_model_in_place_of_the_tokenizer(tmp_path):
    said = refusal(
        "tokenizer",
        lambda path: path.write_bytes(b"\n\x0e\n\x05<pad>\x15\0\0\0\0\x18\3"),
        tmp_path,
    )
    assert "a SentencePiece model: its tokenizer.json" in said


def test_whole_files_are_known(tmp_path):
    assert file_kind(SAFE).name == SAFETENSORS
    assert file_kind(ONNX_FILE).name == ONNX
    assert file_kind(OWN_TOKENIZER).name == JSON
    for new in (True, False):
        torch.save(TENSORS, tmp_path / "a.ckpt", _use_new_zipfile_serialization=new)
        assert file_kind(tmp_path / "a.ckpt").name == TORCH
    np = pytest.importorskip("numpy")
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(3))
    assert file_kind(tmp_path / "a.npz").name == NPZ


def test_wrappers_are_taken_off_names_wherever_they_stand():
    names = ["module.a.b", "_orig_mod.module.a", "a._orig_mod.b", "modules.a", "module"]
    assert list(strip_wrappers(names).values()) == ["a.b", "a", "a.b", "modules.a", "module"]


def torch_bytes():
    content = io.BytesIO()
    torch.save({"state_dict": {"weight": torch.arange(40_000.0)}, "cfg": {}}, content)
    return content.getvalue()


@pytest.mark.parametrize("length", [1, 4096])
@pytest.mark.parametrize("loader", ["policy", "training run"])
def test_a_damaged_entry_of_a_pytorch_file_is_named(loader, length, tmp_path):
    data = torch_bytes()
    middle = len(data) // 2
    damaged = data[:middle] + b"\xa5" * length + data[middle + length :]
    make = lambda path: path.write_bytes(damaged)  # noqa: E731
    assert file_kind(data).name == TORCH
    assert file_kind(damaged).name == ""
    assert re.search("entry archive/data/0 is damaged", refusal(loader, make, tmp_path))


def test_a_pytorch_detector_with_a_damaged_entry_is_refused(tmp_path):
    data = bytearray(torch_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "named.pth"
    path.write_bytes(data)
    with pytest.raises(VimaError, match="data/0 is damaged") as caught:
        read_weights(str(path), None, "a detector", [TORCH])
    assert caught.value.code == "BAD_WEIGHTS"


def packed_again(**changed):
    """A PyTorch file whose entries are compressed; ``changed``: content of an entry, by name."""
    packed = io.BytesIO()
    plain = zipfile.ZipFile(io.BytesIO(torch_bytes()))
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as other:
        for name in plain.namelist():
            last = name.rpartition("/")[2]
            other.writestr(name, changed.get(last) or plain.read(name))
    return packed.getvalue()


def test_a_pytorch_file_that_was_packed_again_is_read():
    data = packed_again()
    assert file_kind(data).name == TORCH
    middle = len(data) // 2
    damaged = data[:middle] + b"\xa5" * 64 + data[middle + 64 :]
    assert "data/0 is damaged" in file_kind(damaged).words


def test_a_pytorch_file_that_would_unpack_to_much_more_is_refused_before(monkeypatch):
    data = packed_again(**{"0": bytes(100 << 20)})
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    kind = file_kind(data)
    assert kind.name == ""
    assert "more than 20 times as many" in kind.words
