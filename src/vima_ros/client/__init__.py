"""Python API to a running suite: publish, call, wait, and start nodes as processes."""
