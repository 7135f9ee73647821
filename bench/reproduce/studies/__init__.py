"""One module a study; importing this package enters them all in `bench.reproduce.study.STUDIES`, in reading order."""

from importlib import import_module

for _name in (
    "layers",
    "pooling",
    "pairs",
    "optimal_layers",
    "combinations",
    "trade_off",
    "low_resource",
    "overhead",
    "sensitivity",
    "capacity",
    "robustness",
    "learned",
):
    import_module(f"bench.reproduce.studies.{_name}")
