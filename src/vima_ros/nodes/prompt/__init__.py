"""The prompt node: prompts and the asset library."""
