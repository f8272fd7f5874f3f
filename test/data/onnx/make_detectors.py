"""Writes the small ONNX detectors beside it: ``python test/data/onnx/make_detectors.py``.

They need no training: an object is what is pure red (score 0.9), green (0.7) or blue (0.3), its
mask is its box, with probability 0.95. Needs the package onnx (requirements/torchvision.txt).

good.onnx          as the onnx detector wants it
float_input.onnx   takes float32 pictures
flat_masks.onnx    masks are (n, 64) instead of (n, 8, 8)
nan.onnx           scores are not a number
card.onnx          the card is no JSON
external.onnx      a weight is said to lie in another file, ../secret
"""

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

HEIGHT, WIDTH, SIDE = 128, 256, 8
SCORES = (0.9, 0.7, 0.3)
FLOAT, INT64, UINT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8


class Graph:
    """Collects nodes and constants; calling it adds a node and gives its output's name."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def __call__(self, kind, *inputs, output=None, **attributes):
        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values, dtype):
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name


def edges(graph, pixels, size, others):
    """First and last edge along one axis of each channel's pixels (3, H, W), each (3, 1)."""
    there = graph("ReduceMax", pixels, axes=[others], keepdims=0)  # (3, size)
    there = graph("Cast", there, to=TensorProto.BOOL)
    low = graph.constant([np.arange(size)], np.float32)
    high = graph.constant([np.arange(size) + 1], np.float32)
    far, zero = graph.constant(size, np.float32), graph.constant(0, np.float32)
    first = graph("ReduceMin", graph("Where", there, low, far), axes=[1], keepdims=1)
    last = graph("ReduceMax", graph("Where", there, high, zero), axes=[1], keepdims=1)
    return first, last


def view(graph, images, index, name, variant):
    """Boxes, scores and masks of one view."""
    frame = graph("Gather", images, graph.constant(index, np.int64), axis=0)  # (H, W, 3)
    frame = graph("Cast", frame, to=FLOAT)
    full = graph("Equal", frame, graph.constant(255, np.float32))
    full = graph("Cast", full, to=FLOAT)
    alone = graph("ReduceSum", full, graph.constant([2], np.int64), keepdims=1)
    alone = graph("Cast", graph("Equal", alone, graph.constant(1, np.float32)), to=FLOAT)
    pixels = graph("Transpose", graph("Mul", full, alone), perm=[2, 0, 1])  # (3, H, W)
    x1, x2 = edges(graph, pixels, WIDTH, 1)
    y1, y2 = edges(graph, pixels, HEIGHT, 2)
    seen = graph("ReduceMax", pixels, axes=[1, 2], keepdims=0)
    seen = graph("Cast", seen, to=TensorProto.BOOL)
    scores = np.full(3, np.nan) if variant == "nan" else SCORES
    shape = (3, SIDE * SIDE) if variant == "flat_masks" else (3, SIDE, SIDE)
    boxes = graph("Concat", x1, y1, x2, y2, axis=1)
    graph("Compress", boxes, seen, axis=0, output=f"boxes_{name}")
    scores = graph.constant(scores, np.float32)
    graph("Compress", scores, seen, axis=0, output=f"scores_{name}")
    masks = graph.constant(np.full(shape, 0.95), np.float32)
    graph("Compress", masks, seen, axis=0, output=f"masks_{name}")
    shapes = {"boxes": ["n", 4], "scores": ["n"], "masks": ["n", *shape[1:]]}
    return [helper.make_tensor_value_info(f"{k}_{name}", FLOAT, s) for k, s in shapes.items()]


def model(variant):
    """One of the files of this page."""
    graph = Graph()
    kind = FLOAT if variant == "float_input" else UINT8
    images = helper.make_tensor_value_info("images", kind, [2, HEIGHT, WIDTH, 3])
    outputs = [
        output
        for index, name in enumerate(("front", "top"))
        for output in view(graph, "images", index, name, variant)
    ]
    if variant == "external":
        weight = graph.constants[0]
        weight.data_location = TensorProto.EXTERNAL
        weight.ClearField("raw_data")
        weight.external_data.add(key="location", value="../secret")
    made = helper.make_model(
        helper.make_graph(graph.nodes, "colours", [images], outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    card = "no JSON" if variant == "card" else json.dumps({"name": "colours", "min_score": 0.6})
    helper.set_model_props(made, {"card": card})
    return made


if __name__ == "__main__":
    for name in ("good", "float_input", "flat_masks", "nan", "card", "external"):
        made = model(name)
        if name != "external":
            checker.check_model(made)
        save(made, Path(__file__).parent / f"{name}.onnx")
