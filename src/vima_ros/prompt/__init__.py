"""Prompts: a sentence with images to the input of the policy."""
