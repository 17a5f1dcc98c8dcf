"""Benchmarks: whether the routing is right, and what the library itself costs."""
