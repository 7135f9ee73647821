"""Sources that are computed from other sources: controls that have a fusion's width or its information, not both."""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from pydantic import Field

from bench.evaluation.inputs import Derived, Input, Locate, Stored
from bench.specs import Source, Spec

POOLING = "derived"


class Derivation(Spec):
    """How features come from those of other sources, by name; `bench.evaluation.inputs.Derived` says what each does."""

    kind: Literal["projection", "pca"]
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    width: Annotated[int, Field(ge=1)]
    seed: int = 0

    @property
    def name(self) -> str:
        """What stands in a candidate for the model's name."""
        inside = " + ".join(map(str, self.sources))
        return f"pca({inside})" if self.kind == "pca" else f"projection-{self.seed}({inside})"

    @property
    def source(self) -> Source:
        """The source that it is."""
        return Source(model=self.name, layer=0, pooling=POOLING)

    @property
    def layers(self) -> int:
        """It has one."""
        return 0

    @property
    def poolings(self) -> tuple[str, ...]:
        """It has one."""
        return (POOLING,)

    @property
    def own_pooling(self) -> None:
        """It has no authors."""
        return

    @property
    def same(self) -> frozenset[tuple[int, str]]:
        """It tells texts apart."""
        return frozenset()


def located(stored: Callable[[Source], Stored], derived: Mapping[Source, Derivation]) -> Locate:
    """From sources, of which some are derived, to the matrices that they mean; `derived` may still grow."""

    def locate(source: Source) -> Input:
        how = derived.get(source)
        if how is None:
            return stored(source)
        return Derived(kind=how.kind, of=tuple(map(stored, how.sources)), width=how.width, seed=how.seed)

    return locate
