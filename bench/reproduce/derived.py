"""Sources that are computed from other sources: controls that have a fusion's width or its information, not both."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from bench.evaluation.features import Features
from bench.specs import Source, Spec, fingerprint
from bench.store import Shelf

if TYPE_CHECKING:
    import torch

POOLING = "derived"
ALGORITHM = 1
"""To be raised when derivations compute something else."""


class Derivation(Spec):
    """How features come from others.

    `projection`: standardised sources times a Gaussian matrix that `seed` draws. `pca`: the first principal axes of
    the standardised sources, found on the training rows, in a random rotation. Both give `width` columns.
    """

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


class DerivedFeatures(Features):
    """Features of models, and of derivations from them (shared with who makes them up)."""

    def __init__(
        self,
        train: Sequence[str],
        test: Sequence[str],
        shelves: Mapping[str, Shelf],
        heal: Callable[[str], None],
        derived: Mapping[str, Derivation],
    ) -> None:
        super().__init__(train, test, shelves, heal)
        self._derived = derived

    def identity(self, source: Source) -> str:
        """The fingerprint of the extraction, or of the derivation and the extractions under it."""
        if source.pooling != POOLING:
            return super().identity(source)
        derivation = self._derived[source.model]
        return fingerprint(
            [
                ALGORITHM,
                derivation.model_dump(mode="json"),
                *(super(DerivedFeatures, self).identity(each) for each in derivation.sources),
            ]
        )

    def train(self, source: Source) -> "torch.Tensor":
        """Features of the training rows: float32 [rows, width], in data-set order."""
        return super().train(source) if source.pooling != POOLING else self._compute(source)[0]

    def test(self, source: Source) -> "torch.Tensor":
        """Features of the test rows: float32 [rows, width], in data-set order."""
        return super().test(source) if source.pooling != POOLING else self._compute(source)[1]

    def _compute(self, source: Source) -> "tuple[torch.Tensor, torch.Tensor]":
        import torch

        derivation = self._derived[source.model]
        sides = [
            torch.cat([side(each) for each in derivation.sources], 1).double() for side in (super().train, super().test)
        ]
        mean, deviation = sides[0].mean(0), sides[0].std(0, correction=0)
        train, test = ((side - mean) * torch.where(deviation > 0, 1 / deviation, 0) for side in sides)
        generator = torch.Generator().manual_seed(derivation.seed)
        if derivation.kind == "pca":
            # eigenvectors come in ascending order
            axes = torch.linalg.eigh(train.T @ train)[1].flip(1)[:, : derivation.width]
            # heads standardise columns: turned at random, no axis of small variance is blown up by that
            turned = torch.empty(axes.shape[1], axes.shape[1], dtype=torch.float64)
            axes = axes @ torch.nn.init.orthogonal_(turned, generator=generator)
        else:
            axes = torch.randn(train.shape[1], derivation.width, generator=generator, dtype=torch.float64)
            axes /= train.shape[1] ** 0.5
        return (train @ axes).float(), (test @ axes).float()
