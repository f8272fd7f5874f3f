"""Detectors of objects: one interface, one file per backend."""
