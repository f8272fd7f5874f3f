"""VIMA on ROS 2: prompts with images in, arm commands out."""

__version__ = "0.1.0"
