"""VIMA on ROS 2: prompts with pictures in, arm commands out."""

__version__ = "0.1.0"
