"""Lets `python -m bench` stand for the `bench` command."""

from bench.cli.main import run

if __name__ == "__main__":
    run()
