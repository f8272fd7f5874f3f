"""Checkpoints with random weights, and hostile ones, for the backends on torch."""

import os

import numpy as np
import torch


def make_image(seed=0):
    """Coloured squares of 16 px, uint8 (128, 256, 3)."""
    colours = np.random.default_rng(seed).integers(0, 256, (8, 16, 3)).astype(np.uint8)
    return colours.repeat(16, 0).repeat(16, 1)


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def write_hostile(path, folder):
    """A checkpoint that would make ``folder`` if it were unpickled without care."""
    torch.save({"model": {}, "cfg": Evil(folder)}, path)
