"""Policy node: observations to actions, and the episodes that they belong to."""
