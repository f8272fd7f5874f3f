"""Detector without weights: objects on a plain background, by colour."""
