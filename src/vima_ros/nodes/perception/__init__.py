"""The perception node: camera images to objects."""
