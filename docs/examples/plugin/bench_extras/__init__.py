"""Importing this registers the parts: the entry point ``bench.plugins`` names it."""

from bench_extras import heads, operators, poolings

__all__ = ["heads", "operators", "poolings"]
