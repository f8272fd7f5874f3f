"""The policy node: observations to actions, and the episode that they belong to."""
