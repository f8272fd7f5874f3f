"""The tabletop node: the simulator as a robot with two cameras."""
