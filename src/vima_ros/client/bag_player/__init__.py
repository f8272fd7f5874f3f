"""Plays recorded camera frames and prompts into a running suite, as a robot would."""
