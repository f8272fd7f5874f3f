"""Benchmarks of the library's parts; ``cli/bench`` runs them and writes the page."""
