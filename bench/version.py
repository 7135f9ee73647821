"""The version, at the ground, so that nothing imports the whole package to know it."""

__version__ = "0.1.0"
