"""Calibration of a camera's view to the view that the policy expects."""
