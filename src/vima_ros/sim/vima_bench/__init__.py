"""The original VIMA-Bench as a simulator, in a process of its own (docs/vima_bench.md)."""
