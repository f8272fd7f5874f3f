"""VIMA-Bench node: the original simulator as a robot with two cameras."""
