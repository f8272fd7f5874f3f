"""Checkpoints of untrained policies, small enough for a test."""

from pathlib import Path

from vima_ros.policy.checkpoints.load import random_network
from vima_ros.policy.checkpoints.safetensors import save_weights
from vima_ros.policy.tokenizer import bundled_tokenizer


def write_policy(path: Path, conditioning: str) -> Path:
    """Write one of that conditioning, for prompts of the bundled tokenizer."""
    sizes = {"conditioning": conditioning, "vocabulary": bundled_tokenizer().words}
    save_weights(random_network(sizes), path, {})
    return path
