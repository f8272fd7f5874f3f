"""Offscreen rendering of camera images and of prompt images."""
