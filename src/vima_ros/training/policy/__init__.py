"""Behaviour cloning of the policy."""
