"""The detector's training: it learns, resumes as if never stopped, and exports what it is."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torchvision", reason="no torchvision: run `make test-train`, which has it")

import torch
from safetensors import safe_open

from vima_ros.errors import VimaError
from vima_ros.perception.detectors.mask_rcnn import MaskRcnn, MaskRcnnConfig
from vima_ros.training.data.collect import CollectionPlan, collect
from vima_ros.training.detector.dataset import ImageSource, read_source
from vima_ros.training.detector.onnx_export import export_detector, save_weights
from vima_ros.training.detector.trainer import DetectorRecipe, load_averaged, train_detector
from vima_ros.training.detector.warm_start import start_from
from vima_ros.training.run_progress import Schedule


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "tables"
    plan = CollectionPlan(path, ("visual_manipulation",), 2, 1_000_000, "train", "masks", 0.0, 1)
    for _ in collect(plan):
        pass
    return read_source(path)


def train(source, folder, **recipe):
    recipe = DetectorRecipe(**{"batch_size": 2, "warmup_steps": 5, **recipe})
    return list(train_detector([source], recipe, folder, Schedule(report_every=1)))


def test_training_lowers_the_loss(source, tmp_path):
    progress = train(source, tmp_path, steps=60)
    losses = [p.loss for p in progress]
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(source, tmp_path):
    at_once = train(source, tmp_path / "a", steps=4)
    recipe, log = DetectorRecipe(batch_size=2, warmup_steps=5, steps=4), []
    asked = iter([False, True])
    schedule = Schedule(report_every=1, stop=lambda: next(asked), log=log.append)
    list(train_detector([source], recipe, tmp_path / "b", schedule))
    assert "step 2 of 4" in log[-1]
    again = list(train_detector([source], recipe, tmp_path / "b", Schedule(report_every=1)))
    assert [p.step for p in again] == [3, 4]
    assert [p.losses for p in again] == [p.losses for p in at_once[2:]]
    one, other = load_averaged(tmp_path / "a")[0], load_averaged(tmp_path / "b")[0]
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_accuracy_is_measured_on_pictures_kept_for_validation(source, tmp_path):
    assert source.validation
    assert not {p.frame_png for p in source.scenes} & {p.frame_png for p in source.validation}
    progress = train(source, tmp_path, steps=1)[-1]
    assert set(progress.training) == set(progress.validation) == {"recall", "precision"}


def test_what_cannot_be_trained_is_refused(source, tmp_path):
    with pytest.raises(VimaError) as caught:
        next(train_detector([ImageSource("none", (), ())], DetectorRecipe(), tmp_path))
    assert caught.value.code == "NO_DEMONSTRATIONS"
    (tmp_path / "checkpoint.pt").write_bytes(b"no checkpoint")
    for load in (lambda: next(train_detector([source], DetectorRecipe(), tmp_path)),):
        with pytest.raises(VimaError) as caught:
            load()
        assert caught.value.code == "BAD_CHECKPOINT"


def test_the_exported_file_finds_what_the_network_finds(source, tmp_path):
    ort = pytest.importorskip("onnxruntime")
    train(source, tmp_path, steps=30)
    model, step = load_averaged(tmp_path)
    assert step == 30
    path = tmp_path / "detector.onnx"
    export_detector(model, path, {"name": "test", "min_score": 0.5})
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["card"])["name"] == "test"
    names = [item.name for item in session.get_outputs()]
    for image in range(2):
        pair = [source.scenes[2 * image + view].decode()[0] for view in range(2)]
        frames = np.stack(pair)
        found = dict(zip(names, session.run(None, {"images": frames}), strict=True))
        model.eval()
        with torch.no_grad():
            expected, _ = model(torch.from_numpy(frames))
        for view, truth in zip(("front", "top"), expected, strict=True):
            assert found[f"scores_{view}"] == pytest.approx(truth["scores"].numpy(), abs=1e-3)
            boxes, masks = truth["boxes"].numpy(), truth["masks"][:, 0].numpy()
            for box, mask in zip(
                found[f"boxes_{view}"][:10], found[f"masks_{view}"], strict=False
            ):
                same = np.abs(boxes - box).max(axis=1).argmin()  # equal scores may change places
                assert box == pytest.approx(boxes[same], abs=0.05)
                assert mask == pytest.approx(masks[same], abs=0.02)


def test_the_weights_are_kept_for_torch_too(source, tmp_path):
    train(source, tmp_path, steps=2)
    model, _ = load_averaged(tmp_path)
    save_weights(model, tmp_path / "detector.safetensors", {"name": "test"})
    with safe_open(tmp_path / "detector.safetensors", "pt") as file:
        facts = file.metadata()
        again = MaskRcnn(MaskRcnnConfig(**json.loads(facts["config"])))
        again.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    assert json.loads(facts["card"]) == {"name": "test"}
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_gradients_reach_every_weight(source):
    model = MaskRcnn()
    frames = torch.from_numpy(np.stack([p.decode()[0] for p in source.scenes[:2]]))
    mask = torch.zeros((1, 128, 256), dtype=torch.uint8)
    mask[0, 40:80, 50:100] = 1
    target = {
        "boxes": torch.tensor([[50.0, 40.0, 100.0, 80.0]]),
        "labels": torch.ones(1, dtype=torch.int64),
        "masks": mask,
    }
    _, losses = model(frames, [target, target])
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def normalized_somehow(model):
    """Give each batch normalization statistics and scales of its own, as training would."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2.0)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
    return model.eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(3)
    model = normalized_somehow(MaskRcnn())
    path = tmp_path_factory.mktemp("exported") / "detector.onnx"
    export_detector(model, path, {"name": "test"})
    return model, path


@torch.no_grad()
def test_training_goes_on_from_an_exported_detector(exported):
    """It computes what the file does, and is normalized by what the images lead to."""
    model, path = exported
    frames = torch.randint(0, 256, (2, 128, 256, 3), dtype=torch.uint8)
    other = MaskRcnn()
    # Of equal tensors, which biases of 0 are, the export keeps one.
    assert all(name.endswith(".bias") for name in start_from(other, path, frames).anew)
    images = (frames.permute(0, 3, 1, 2).float() - 100.0) / 70.0
    seen = []
    for network in (model, other.eval()):
        stem, levels = network.backbone(images)
        masks = network.mask_features(stem, levels["0"])
        boxes = network.roi_heads.box_head(levels["0"][:, :, :8, :8])
        shapes = network.roi_heads.mask_head(masks[:, :, :24, :24])
        seen.append([stem, *levels.values(), masks, boxes, shapes])
    for one, two in zip(*seen, strict=True):
        assert torch.allclose(one, two, atol=2e-3), float((one - two).abs().max())
    stem = other.train().backbone.stem
    before = stem(images).mean()
    assert torch.allclose(before, other.eval().backbone.stem(images).mean(), atol=1e-2)


def test_a_layer_that_the_file_lacks_changes_next_to_nothing(exported):
    _, path = exported
    frames = torch.randint(0, 256, (2, 128, 256, 3), dtype=torch.uint8)
    longer = MaskRcnn(replace(MaskRcnnConfig(), mask_dilations=(1, 1, 2, 4, 8, 1)))
    weights = start_from(longer, path, frames)
    assert [name for name in weights.anew if "mask_head.5" in name]
    new = longer.roi_heads.mask_head[5]
    features = torch.rand(1, 48, 24, 24)
    with torch.no_grad():
        assert float((new(features) - features).abs().mean()) < 0.1


def test_a_file_that_is_no_detector_is_refused(tmp_path):
    frames = torch.zeros((1, 128, 256, 3), dtype=torch.uint8)
    (tmp_path / "bad.onnx").write_bytes(b"no detector")
    with pytest.raises(VimaError, match=r"bad\.onnx"):
        start_from(MaskRcnn(), tmp_path / "bad.onnx", frames)
