"""Perception: camera images to objects, by views, detectors, crops and tracking."""
