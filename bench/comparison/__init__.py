"""Two pipelines side by side: paired by seed, by fold and by example, with what the rows can and cannot tell."""

from bench.comparison.compared import Compared, compare
from bench.comparison.contenders import Contender, find

__all__ = ["Compared", "Contender", "compare", "find"]
