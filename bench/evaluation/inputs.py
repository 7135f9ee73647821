"""What a head is trained on: matrices that stand in the store, and matrices computed from them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from bench.specs import Source, Spec

if TYPE_CHECKING:
    import torch

DERIVATION = 1
"""To be raised when derivations compute something else."""


class Stored(Spec):
    """A matrix of the store: `shelf` is the fingerprint of the extraction that it comes from.

    `view` is that of what is read of a row (see `bench.views`), None where a row is read as it is.
    """

    shelf: str
    layer: int
    pooling: str
    view: Annotated[str | None, Field(exclude_if=lambda value: value is None)] = None


class Derived(Spec):
    """A matrix that is computed from stored ones: a control that has a fusion's width or information, not both.

    `projection`: the standardised matrices times a Gaussian matrix that `seed` draws. `pca`: the first principal axes
    of the standardised matrices, found on the training rows, in a random rotation. Both give `width` columns.
    """

    kind: Literal["projection", "pca"]
    of: Annotated[tuple[Stored, ...], Field(min_length=1)]
    width: Annotated[int, Field(ge=1)]
    seed: int = 0
    version: int = DERIVATION


Input = Stored | Derived
Locate = Callable[[Source], Input]
"""From the source that a candidate names to the matrix that it means."""


def stored(shelves: Mapping[str, str], views: Mapping[str, str] = MappingProxyType({})) -> Callable[[Source], Stored]:
    """Sources of models whose extractions have these fingerprints, by the model's name; `views` of those with one."""

    def locate(source: Source) -> Stored:
        view = views.get(source.model)
        return Stored(shelf=shelves[source.model], layer=source.layer, pooling=source.pooling, view=view)

    return locate


def derive(
    how: Derived, train: "torch.Tensor", test: "torch.Tensor | None"
) -> "tuple[torch.Tensor, torch.Tensor | None]":
    """Derived features of the training and the test rows, float32 [rows, width], from the joined stored ones."""
    import torch

    double = train.double()
    mean, deviation = double.mean(0), double.std(0, correction=0)

    def standardised(side: torch.Tensor) -> torch.Tensor:
        return (side.double() - mean) * torch.where(deviation > 0, 1 / deviation, 0)

    known = standardised(train)
    generator = torch.Generator().manual_seed(how.seed)
    if how.kind == "pca":
        # eigenvectors come in ascending order
        axes = torch.linalg.eigh(known.T @ known)[1].flip(1)[:, : how.width]
        # heads standardise columns: turned at random, no axis of small variance is blown up by that
        turned = torch.empty(axes.shape[1], axes.shape[1], dtype=torch.float64)
        axes = axes @ torch.nn.init.orthogonal_(turned, generator=generator)
    else:
        axes = torch.randn(known.shape[1], how.width, generator=generator, dtype=torch.float64)
        axes /= known.shape[1] ** 0.5
    return (known @ axes).float(), None if test is None else (standardised(test) @ axes).float()
