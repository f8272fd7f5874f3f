"""Arm node: the safety gate and the driver of the robot behind it."""
