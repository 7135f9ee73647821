"""One file a study, found by being here; importing this package enters them all in `STUDIES`."""

from importlib import import_module
from pkgutil import iter_modules

from bench.reproduce.study import STUDIES, named, words

__all__ = ["STUDIES", "named", "words"]

for _found in iter_modules(__path__):
    import_module(f"{__name__}.{_found.name}")
