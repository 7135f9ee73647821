"""Representations scored in closed form before any candidate is tried: sources, and fusions grown from the best."""
