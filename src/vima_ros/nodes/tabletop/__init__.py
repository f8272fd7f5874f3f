"""Tabletop node: the simulator as a robot with two cameras."""
