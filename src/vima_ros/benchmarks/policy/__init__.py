"""Benchmark of the policy: ``plan`` starts the processes, the other modules run in them."""
