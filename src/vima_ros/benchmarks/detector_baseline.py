"""Program of the baseline, torchvision's Mask R-CNN; imports nothing of this package.

Arguments: an .npy of images, uint8 RGB (2, height, width, 3), and how many threads. It prints a
line of JSON about itself. Then, for each line on stdin, the most boxes to keep in an image, it
detects in both images at once and prints a line: "seconds", and "boxes" kept in each image.
"""

import json
import sys
import time

import numpy as np


def main() -> None:
    """Run the program."""
    import torch
    import torchvision

    path, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)  # random weights: speed is all that is asked for
    model = torchvision.models.detection.maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None
    ).eval()
    images = [torch.from_numpy(image).permute(2, 0, 1).float() / 255.0 for image in np.load(path)]
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    print(json.dumps(versions), flush=True)
    for line in sys.stdin:
        model.roi_heads.detections_per_img = int(line)
        began = time.perf_counter()
        with torch.inference_mode():
            found = model(images)
        seconds = time.perf_counter() - began
        boxes = [len(one["boxes"]) for one in found]
        print(json.dumps({"seconds": seconds, "boxes": boxes}), flush=True)


if __name__ == "__main__":
    main()
