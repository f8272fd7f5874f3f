"""Simulated tabletop in MuJoCo: VIMA-Bench's tasks, objects and cameras, and two robots."""
