"""Demonstrations: collecting, files, readers."""
