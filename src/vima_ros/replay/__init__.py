"""Recorded bags as input: reading them, and reporting what the nodes made of them."""
