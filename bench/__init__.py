"""Search over multi-model embedding fusion for text classification."""

__version__ = "0.1.0"
