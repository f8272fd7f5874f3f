"""Simulated robots: a free gripper and an arm with a joint controller."""
