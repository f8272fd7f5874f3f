"""Benchmarks: what is measured, and how; ``cli/bench`` runs them and writes the page."""
