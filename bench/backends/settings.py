"""The settings under which a model is identified and opened."""

from bench.specs import ExtractionSettings


class ResolvedSettings(ExtractionSettings):
    """Settings of which nothing is left open: backend and device are concrete, and can be had on this machine.

    `bench.backends.resolution` makes them of what is asked for, once a command.
    """
