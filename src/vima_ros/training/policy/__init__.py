"""Behavior cloning of the policy."""
