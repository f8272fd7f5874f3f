"""Runs where torchvision loads (`./vima --train`); test_detector.py tests its absence."""

import argparse

import numpy as np
import pytest
import torch

try:
    import torchvision.ops
except (ImportError, RuntimeError) as error:
    pytest.skip(f"no torchvision for this torch: {error}", allow_module_level=True)

from safetensors.torch import save_file
from torch_checkpoints import make_image, write_hostile

from vima_ros.errors import VimaError
from vima_ros.perception.detectors.mask_rcnn import MaskRcnn
from vima_ros.perception.detectors.postprocess import paste_masks
from vima_ros.perception.detectors.registry import DetectorSettings, make_detector

IMAGE = make_image()
SIZES = {"min_size": 32, "max_size": 64}  # [px] a quarter of the frame, to be quick


def make(path, **settings):
    settings = DetectorSettings(weights=str(path), threads=1, **settings)
    return make_detector("torchvision", settings)


def refused(path, says, code="BAD_WEIGHTS", **settings):
    with pytest.raises(VimaError, match=says) as error:
        make(path, **settings)
    assert error.value.code == code


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    torch.manual_seed(0)
    model = MaskRcnn().eval()
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.weight.mul_(30)
        model.roi_heads.mask_predictor.mask_fcn_logits.bias.fill_(0.3)
    path = tmp_path_factory.mktemp("ours") / "ours.safetensors"
    save_file(model.state_dict(), path, {"card": '{"name": "random", "min_score": 0.4}'})
    return path, model


@pytest.fixture(scope="module", params=[2, 5], ids=["one class", "four classes"])
def theirs(request, tmp_path_factory):
    """Torchvision's own, with ``param - 1`` classes that say the same, and an option object."""
    torch.manual_seed(0)
    classes = request.param - 1
    model = torchvision.models.detection.maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=request.param, **SIZES
    ).eval()
    with torch.no_grad():
        for name, module in model.backbone.body.named_modules():
            if name.endswith("bn3"):  # random weights alone would explode
                module.weight.fill_(0.2)
        predictor = model.roi_heads.box_predictor
        predictor.cls_score.weight[1:] = 3 * predictor.cls_score.weight[1]
        predictor.cls_score.bias[1:] = 3
        predictor.bbox_pred.weight[4:] = predictor.bbox_pred.weight[4:8].repeat(classes, 1)
        predictor.bbox_pred.bias[4:] = predictor.bbox_pred.bias[4:8].repeat(classes)
        model.roi_heads.mask_predictor.mask_fcn_logits.bias.fill_(3)
    path = tmp_path_factory.mktemp("theirs") / "fine_tuned.pth"
    torch.save({"model": model.state_dict(), "args": argparse.Namespace(lr=1), **SIZES}, path)
    return path, model


def test_ours_gives_what_the_network_gives(ours):
    path, model = ours
    detector = make(path)
    images = {"front": IMAGE, "top": make_image(1)}
    with torch.inference_mode():
        found, _ = model(torch.from_numpy(np.stack(list(images.values()))))
    got = detector.detect_views(images)
    for view, one in zip(images, found, strict=True):
        values = one["boxes"].numpy(), one["scores"].numpy(), one["masks"][:, 0].numpy()
        want = paste_masks(*values, min_score=0.4)
        assert len(want)
        np.testing.assert_array_equal(got[view].mask, want.mask)
        np.testing.assert_array_equal(got[view].scores, want.scores)
    alone = detector.detect(IMAGE, "front")
    np.testing.assert_allclose(alone.scores, got["front"].scores, atol=1e-4)
    assert np.mean(alone.mask != got["front"].mask) < 0.01


def test_the_compact_network_describes_itself(ours):
    facts = make(ours[0], min_score=0.7).describe()
    assert facts["network"] == "ours"
    assert facts["min_score"] == 0.7
    assert facts["card"] == {"name": "random", "min_score": 0.4}
    assert make(ours[0]).min_score == 0.4


def test_boxes_lie_where_torchvision_puts_them(theirs):
    path, model = theirs
    detector = make(path, min_score=0.1)
    frames = torch.from_numpy(np.stack([IMAGE, make_image(1)]))
    with torch.inference_mode():
        want = model(list(frames.permute(0, 3, 1, 2) / 255))
        got = detector.run(detector.model, frames)
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one["boxes"], other["boxes"], rtol=0, atol=1e-3)
        torch.testing.assert_close(one["scores"], other["scores"])
    found = detector.detect(IMAGE, "top")
    assert len(found)
    assert (found.mask > 0).any()


def test_one_object_is_not_found_as_two_classes(theirs):
    path, model = theirs
    with torch.inference_mode():
        boxes = model([torch.from_numpy(IMAGE).permute(2, 0, 1) / 255])[0]["boxes"]
    found = make(path, min_score=0.06).detect(IMAGE, "top")
    overlaps = torchvision.ops.box_iou(boxes, boxes).fill_diagonal_(0)
    classes = model.roi_heads.box_predictor.cls_score.out_features - 1
    assert (overlaps.max() > 0.5) == (classes > 1)  # torchvision itself: only within a class
    apart = len(torchvision.ops.nms(boxes, torch.arange(len(boxes), 0, -1).float(), 0.5))
    assert 0 < len(found) + found.low_score_count <= apart


def test_torchvisions_network_describes_itself(theirs):
    path, model = theirs
    classes = model.roi_heads.box_predictor.cls_score.out_features - 1
    facts = make(path).describe()
    assert facts["network"] == f"maskrcnn_resnet50_fpn, {classes} classes"
    assert facts["min_score"] == 0.5


def test_a_state_dict_alone_will_do(theirs, tmp_path):
    torch.save(theirs[1].state_dict(), tmp_path / "plain.pth")
    detector = make(tmp_path / "plain.pth")
    assert detector.model.transform.min_size == (800,)  # what torchvision would take


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_taken_off(ours, theirs, tmp_path, caplog, prefix):
    path = tmp_path / "wrapped.pth"
    for model in (ours[1], theirs[1]):
        state = {f"{prefix}{name}": value for name, value in model.state_dict().items()}
        if model is ours[1]:
            path = tmp_path / "wrapped.safetensors"
            save_file(state, path)
        else:
            torch.save({"model": state}, path)
        loaded = make(path).model.state_dict()
        assert all(torch.equal(v, loaded[n]) for n, v in model.state_dict().items() if n in loaded)
        assert "taken off" in caplog.text
        caplog.clear()


def test_loading_runs_nothing(tmp_path):
    write_hostile(tmp_path / "evil.pth", tmp_path / "made")
    refused(tmp_path / "evil.pth", "it holds a posix.mkdir, not only tensors")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("theirs", [2], indirect=True)
def test_other_files_are_refused(ours, theirs, tmp_path):
    path, model = theirs
    refused("", "no weights given", "NO_WEIGHTS")
    refused(tmp_path / "none.pth", "is no file", "NO_WEIGHTS")
    other = tmp_path / "other.pth"
    other.write_bytes(path.read_bytes()[:100_000])
    refused(other, "other.pth")
    torch.save({"weight": torch.zeros(3)}, other)
    refused(other, "no state dict with a box predictor")
    torch.save([1, 2], other)
    refused(other, "its model is no dict of tensors")
    state = dict(model.state_dict())
    torch.save({"model": state, "min_size": 10**9}, other)
    refused(other, "sizes .*valid: 32 to 2000 px")
    torch.save(state | {"extra": torch.zeros(3)}, other)
    refused(other, "extra is not the network's")
    state["roi_heads.box_predictor.bbox_pred.bias"].fill_(np.nan)
    torch.save(state, other)
    refused(other, "not finite")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(ours[0].read_bytes()[:5000])
    refused(cut, "cut.safetensors")
    save_file({"stem": torch.zeros(3)}, cut)
    refused(cut, "is missing")


def test_a_device_that_is_not_there_is_refused(ours):
    refused(ours[0], "valid: 'cpu', 'cuda'", "BAD_DEVICE", device="mars")
    if not torch.cuda.is_available():
        refused(ours[0], "valid: 'cpu', 'cuda'", "BAD_DEVICE", device="cuda")
