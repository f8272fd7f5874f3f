"""Runs where Detectron2 is installed; test_detector.py tests its absence.

The checkpoints have random weights and the form of VIMA's published mask_rcnn.pth.
"""

import numpy as np
import pytest

detectron2 = pytest.importorskip("detectron2", reason="Detectron2 is not installed")

import torch  # noqa: E402
from detectron2 import model_zoo  # noqa: E402
from detectron2.config import CfgNode, get_cfg  # noqa: E402
from detectron2.engine import DefaultPredictor  # noqa: E402
from detectron2.modeling import build_model  # noqa: E402
from torch_checkpoints import make_image, write_hostile  # noqa: E402

from vima_ros.errors import VimaError  # noqa: E402
from vima_ros.perception.detectors.registry import DetectorSettings, make_detector  # noqa: E402

BASE = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"
IMAGE = make_image()


def base_cfg(classes=1, channels="BGR"):
    """As the published one, but for a network of 1 MB."""
    cfg = full_cfg(classes, channels)
    cfg.MODEL.RESNETS.STEM_OUT_CHANNELS, cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 8, 16
    cfg.MODEL.FPN.OUT_CHANNELS = cfg.MODEL.ROI_MASK_HEAD.CONV_DIM = 16
    cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 32
    return cfg


def full_cfg(classes=1, channels="BGR"):
    cfg = get_cfg()
    cfg.merge_from_file(model_zoo.get_config_file(BASE))
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = classes
    cfg.MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK = classes == 1
    cfg.INPUT.FORMAT = channels
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 64, 128  # half of the frame, to be quick
    cfg.MODEL.RPN.POST_NMS_TOPK_TEST = 30
    cfg.MODEL.DEVICE = "cuda"  # where it was trained
    cfg.MODEL.WEIGHTS = "detectron2://elsewhere/model.pkl"
    cfg.DATASETS.TEST = ("tabletop_val",)
    return cfg


def sure_state(cfg):
    """Random weights, but sure that what they see is an object, and of most of its box."""
    torch.manual_seed(0)
    cfg = cfg.clone()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
    model = build_model(cfg)
    classes = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    with torch.no_grad():
        for name, module in model.named_modules():  # random weights alone would explode
            if name.endswith(("stem.conv1.norm", "conv3.norm")):
                module.weight.fill_(0.02 if "stem" in name else 0.2)
        predictor = model.roi_heads.box_predictor
        predictor.cls_score.weight[:classes] = predictor.cls_score.weight[0]
        predictor.cls_score.bias[:classes] = torch.arange(classes, 0, -1) + 3.0
        predictor.cls_score.bias[classes] = -4
        bias = model.roi_heads.mask_head.predictor.bias
        bias.copy_(0.5 + torch.arange(len(bias)))  # the less likely the class, the fuller
    return model.state_dict()


def published(path, cfg, state=None):
    """A file of the published form; returns the state dict."""
    state = sure_state(cfg) if state is None else state
    cfg = cfg.clone()
    cfg.MODEL.META_ARCHITECTURE = "TabletopRCNN"  # known to nobody here
    torch.save({"model": state, "cfg": cfg, "iteration": 7}, path)
    return state


def make(path, **settings):
    settings = DetectorSettings(weights=str(path), threads=1, **settings)
    return make_detector("detectron2", settings)


def refused(path, says, code="BAD_WEIGHTS", **settings):
    with pytest.raises(VimaError, match=says) as error:
        make(path, **settings)
    assert error.value.code == code


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("detectron2") / "mask_rcnn.pth"
    return path, published(path, base_cfg())


def own_prediction(cfg, state, image_rgb, lowest):
    """Detectron2's DefaultPredictor, as its documentation has it."""
    cfg = cfg.clone()
    cfg.MODEL.DEVICE, cfg.MODEL.WEIGHTS, cfg.DATASETS.TEST = "cpu", "", ()
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = lowest
    predictor = DefaultPredictor(cfg)
    predictor.model.load_state_dict(state)
    return predictor(image_rgb[..., ::-1])["instances"]


@pytest.mark.parametrize("channels", ["BGR", "RGB"])
def test_objects_are_what_default_predictor_finds(channels, checkpoint, tmp_path):
    cfg, path = base_cfg(channels=channels), tmp_path / "mask_rcnn.pth"
    state = published(path, cfg, checkpoint[1])
    detector = make(path)
    found = detector.detect(IMAGE, "top")
    want = own_prediction(cfg, state, IMAGE, 0.95)
    assert len(found) > 1
    assert (found.scores >= 0.95).all()
    np.testing.assert_allclose(found.scores, want.scores[: len(found)].numpy(), atol=1e-5)
    masks = want.pred_masks.numpy()  # (n, 128, 256)
    once = masks.sum(axis=0) == 1  # elsewhere objects compete, or there is none
    assert np.count_nonzero(once) > 500
    owners = masks.argmax(axis=0)
    for number in found.ids:
        counts = np.bincount(owners[once & (found.mask == number)])
        assert not len(counts) or counts.max() > 0.99 * counts.sum()
    assert np.mean(found.mask[once] > 0) > 0.99
    assert not found.mask[masks.sum(axis=0) == 0].any()


def test_channel_order_matters(checkpoint, tmp_path):
    published(tmp_path / "rgb.pth", base_cfg(channels="RGB"), checkpoint[1])
    turned = np.ascontiguousarray(IMAGE[..., ::-1])
    bgr, rgb = make(checkpoint[0], min_score=0.1), make(tmp_path / "rgb.pth", min_score=0.1)
    one, other = bgr.detect(IMAGE, "top"), rgb.detect(turned, "top")
    np.testing.assert_array_equal(one.mask, other.mask)
    assert (one.mask != rgb.detect(IMAGE, "top").mask).any()


def test_both_views_together_give_what_each_gives(checkpoint):
    detector = make(checkpoint[0])
    images = {"front": IMAGE, "top": make_image(1)}
    both = detector.detect_views(images)
    for view, image in images.items():
        alone = detector.detect(image, view)
        np.testing.assert_allclose(alone.scores, both[view].scores, atol=1e-4)
        assert np.mean(alone.mask != both[view].mask) < 0.01


def test_one_object_is_not_found_as_two_classes(tmp_path):
    cfg, path = base_cfg(classes=3), tmp_path / "mask_rcnn.pth"
    state = published(path, cfg)
    found = make(path, min_score=0.01).detect(IMAGE, "top")
    want = own_prediction(cfg, state, IMAGE, 0.01)
    assert len(set(want.pred_classes.tolist())) > 1
    assert len(found) > 1
    assert (found.scores > 0.5).all()  # the first class, though the second has higher pixels
    assert found.scores[0] == pytest.approx(float(want.scores[0]), abs=1e-5)


def test_it_says_what_it_is(checkpoint):
    facts = make(checkpoint[0]).describe()
    assert len(facts.pop("sha256")) == 12
    assert facts == {
        "backend": "detectron2",
        "weights": "mask_rcnn.pth",
        "architecture": "TabletopRCNN",
        "classes": 1,
        "channels": "BGR",
        "size": "shorter side 64 px",
        "device": "cpu",
        "threads": 1,
        "min_score": 0.95,
    }


@pytest.mark.parametrize("form", ["dict", "yaml"])
def test_a_cfg_may_be_a_dict_or_yaml(form, checkpoint, tmp_path):
    path, cfg = tmp_path / "mask_rcnn.pth", base_cfg()
    text = cfg.dump()
    entry = text if form == "yaml" else CfgNode.load_cfg(text)
    if form == "dict":
        entry = {name: _plain(value) for name, value in entry.items()}
    torch.save({"model": checkpoint[1], "cfg": entry}, path)
    found, want = make(path).detect(IMAGE, "top"), make(checkpoint[0]).detect(IMAGE, "top")
    np.testing.assert_array_equal(found.mask, want.mask)


def _plain(value):
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value


def test_weights_of_older_versions_hold_what_the_cfg_says_too(checkpoint, tmp_path):
    state = dict(checkpoint[1], pixel_mean=torch.zeros(3, 1, 1), pixel_std=torch.ones(3, 1, 1))
    state["proposal_generator.anchor_generator.cell_anchors.0"] = torch.zeros(3, 4)
    published(tmp_path / "old.pth", base_cfg(), state)
    found, want = (make(p).detect(IMAGE, "top") for p in (tmp_path / "old.pth", checkpoint[0]))
    np.testing.assert_array_equal(found.mask, want.mask)


def test_loading_runs_nothing(tmp_path):
    write_hostile(tmp_path / "evil.pth", tmp_path / "made")
    refused(tmp_path / "evil.pth", "it holds a posix.mkdir, not only tensors")
    assert not (tmp_path / "made").exists()


def test_other_files_are_refused(checkpoint, tmp_path):
    path, state = tmp_path / "other.pth", checkpoint[1]
    refused("", "no weights given.*mask_rcnn.pth", "NO_WEIGHTS")
    path.write_bytes(checkpoint[0].read_bytes()[:100_000])
    refused(path, "other.pth")
    torch.save(state, path)
    refused(path, "it holds .*dict of model and cfg")
    for entry, says in (
        ({"MODEL": {"MASK_ON": True, "BACKBONE": {"NAME": "their_own"}}}, "their_own"),
        ({"MODEL": {"MASK_ON": False}}, "MASK_ON False"),
        ({"MODEL": "a text"}, "MODEL as str"),
        ({"MODEL": {"MASK_ON": True}, "INPUT": {"FORMAT": "LAB"}}, "FORMAT 'LAB'"),
        ({"MODEL": {"MASK_ON": True}, "INPUT": {"MIN_SIZE_TEST": 10**6}}, "MIN_SIZE_TEST"),
    ):
        torch.save({"model": {}, "cfg": entry}, path)
        refused(path, says)
    published(path, base_cfg(classes=2), state)
    refused(path, r"\(2, \d+\), not|\(3,.*\), not")
    published(path, base_cfg(), {n: t for n, t in state.items() if "mask_head" not in n})
    refused(path, "mask_head.* is missing")
    published(path, base_cfg(), state | {"backbone.bottom_up.stem.conv1.weight": [1]})
    refused(path, "no dict of tensors")
