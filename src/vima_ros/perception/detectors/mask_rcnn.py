"""The bundled detector's network: a compact Mask R-CNN of torchvision's parts.

A small ResNet (He et al., CVPR 2016) with a feature pyramid (Lin et al., CVPR 2017) of strides 4,
8 and 16. One class: object. An object of the policy frame measures 9 to 90 px, so that boxes are
all pooled from the finest level, which the pyramid fills with what the others know. Masks are
pooled from a map of stride 2 beside it: the bars of a hollow frame are 2 px wide. The mask head's
convolutions are dilated until each cell covers its whole box: of two objects that overlap, only
the box identifies the object.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.resnet import BasicBlock
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.misc import Conv2dNormActivation

from vima_ros.specs import POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH

FRAME_SIZE = (POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH)


@dataclass(frozen=True)
class MaskRcnnConfig:
    """Sizes of the network.

    ``widths``: channels at strides 2, 4, 8 and 16; ``blocks``: residual blocks at the last three.
    ``mask_resolution``: side of the mask that is pooled, half of that which comes out [cells];
    ``mask_dilations``: one for each convolution of the mask head, of ``mask_width`` channels.
    ``anchor_sizes``: square roots of the anchors' areas per stride [px]; ``anchor_ratios``: height
    by width. ``detections``: maximum number of objects.
    """

    widths: tuple[int, int, int, int] = (16, 32, 64, 128)
    blocks: tuple[int, int, int] = (2, 2, 2)
    pyramid: int = 64
    box_resolution: int = 8
    box_features: int = 256
    mask_features: int = 32
    mask_resolution: int = 24
    mask_width: int = 48
    mask_dilations: tuple[int, ...] = (1, 1, 2, 4, 8)
    anchor_sizes: tuple[tuple[int, ...], ...] = ((9, 16), (24, 36), (54, 80))
    anchor_ratios: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
    proposals: int = 64
    detections: int = 32


class Backbone(nn.Module):
    """Feature pyramid of images (B, 3, H, W): strides 4, 8, 16, each (B, pyramid, H/s, W/s)."""

    def __init__(self, config: MaskRcnnConfig) -> None:
        super().__init__()
        stem, *widths = config.widths
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(inplace=True),
        )
        self.stages = nn.ModuleList()
        before = stem
        for width, count in zip(widths, config.blocks, strict=True):
            shortcut = nn.Sequential(
                nn.Conv2d(before, width, 1, stride=2, bias=False), nn.BatchNorm2d(width)
            )
            first = BasicBlock(before, width, stride=2, downsample=shortcut)
            rest = [BasicBlock(width, width) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(first, *rest))
            before = width
        self.pyramid = FeaturePyramidNetwork(widths, config.pyramid)

    def forward(self, images: Tensor) -> tuple[Tensor, OrderedDict[str, Tensor]]:
        """Return the features of the stem, at stride 2, and the pyramid, finest first."""
        stem = self.stem(images)
        features, levels = stem, OrderedDict()
        for index, stage in enumerate(self.stages):
            features = levels[str(index)] = stage(features)
        return stem, self.pyramid(levels)


class MaskFeatures(nn.Module):
    """Fusion of stem and pyramid for masks, (B, mask_features, H/2, W/2)."""

    def __init__(self, config: MaskRcnnConfig) -> None:
        super().__init__()
        width = config.mask_features
        self.seen = nn.Conv2d(config.widths[0], width, 1)
        self.known = nn.Conv2d(config.pyramid, width, 1)
        self.join = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )

    def forward(self, stem: Tensor, finest: Tensor) -> Tensor:
        """Fuse ``stem`` at stride 2 and ``finest`` of the pyramid at stride 4."""
        known = functional.interpolate(self.known(finest), scale_factor=2.0, mode="nearest")
        return self.join(self.seen(stem) + known)


def _mask_head(config: MaskRcnnConfig) -> nn.Module:
    layers, before = [], config.mask_features
    for dilation in config.mask_dilations:
        layers.append(
            Conv2dNormActivation(
                before, config.mask_width, 3, dilation=dilation, norm_layer=None, bias=True
            )
        )
        before = config.mask_width
    return nn.Sequential(*layers)


class MaskRcnn(nn.Module):
    """Backbone, region proposals, and heads for boxes and masks.

    In training mode it takes targets and gives losses; else detections.
    """

    def __init__(self, config: MaskRcnnConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or MaskRcnnConfig()
        self.backbone = Backbone(c)
        self.mask_features = MaskFeatures(c)
        anchors = AnchorGenerator(c.anchor_sizes, tuple(c.anchor_ratios for _ in c.anchor_sizes))
        self.rpn = RegionProposalNetwork(
            anchors,
            RPNHead(c.pyramid, anchors.num_anchors_per_location()[0]),
            fg_iou_thresh=0.6,
            bg_iou_thresh=0.3,
            batch_size_per_image=128,
            positive_fraction=0.5,
            pre_nms_top_n={"training": 400, "testing": 200},
            post_nms_top_n={"training": 2 * c.proposals, "testing": c.proposals},
            nms_thresh=0.7,
        )
        finest = ["0"]
        boxes = nn.Sequential(
            nn.Conv2d(c.pyramid, c.pyramid, 3, padding=1, bias=False),
            nn.BatchNorm2d(c.pyramid),
            nn.ReLU(inplace=True),
            TwoMLPHead(c.pyramid * c.box_resolution**2, c.box_features),
        )
        self.roi_heads = RoIHeads(
            MultiScaleRoIAlign(finest, c.box_resolution, sampling_ratio=2),
            boxes,
            FastRCNNPredictor(c.box_features, num_classes=2),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=64,
            positive_fraction=0.25,
            bbox_reg_weights=None,
            score_thresh=0.05,
            nms_thresh=0.5,
            detections_per_img=c.detections,
            mask_roi_pool=MultiScaleRoIAlign(["masks"], c.mask_resolution, sampling_ratio=2),
            mask_head=_mask_head(c),
            mask_predictor=MaskRCNNPredictor(c.mask_width, c.mask_width, 2),
        )

    def forward(
        self, frames: Tensor, targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Return detections per image, and losses by name.

        ``frames``: uint8 RGB (B, H, W, 3). ``targets``, per image: ``boxes`` float32 (n, 4)
        x1, y1, x2, y2 [px], ``labels`` int64 (n,) of ones, ``masks`` uint8 (n, H, W). Detections:
        ``boxes``, ``scores`` (n,), ``masks`` float32 (n, 1, M, M), probabilities inside the box.
        """
        images = (frames.permute(0, 3, 1, 2).to(torch.float32) - 100.0) / 70.0
        stem, features = self.backbone(images)
        sizes = [(int(frames.shape[1]), int(frames.shape[2]))] * frames.shape[0]
        proposals, losses = self.rpn(ImageList(images, sizes), features, targets)
        features["masks"] = self.mask_features(stem, features["0"])
        found, more = self.roi_heads(features, proposals, sizes, targets)
        return found, {**losses, **more}
