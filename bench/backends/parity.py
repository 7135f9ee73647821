"""Whether backends agree: the pooled states of a few texts, by layer and pooling."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.backends.base import BACKENDS, backend
from bench.backends.resolution import resolve
from bench.errors import BenchError
from bench.progress import SILENT, Progress

if TYPE_CHECKING:
    from torch import Tensor

    from bench.backends.settings import ResolvedSettings
    from bench.models.resolve import ResolvedModel
    from bench.specs import ExtractionSettings

REFERENCE = "transformers"
# Of different lengths, so that batches hold padding, and of different kinds, so that features vary.
TEXTS = (
    "Yes.",
    "Rain is expected in the north.",
    "def add(a, b): return a + b",
    "The company raised its dividend to 12 cents a share, payable in March.",
    "Why does bread rise, and what happens to the yeast when the oven gets hot?",
    "¿Dónde está la biblioteca? Está cerrada hasta el lunes.",
    "The court held that the notice was late, that the delay had harmed nobody, and that the claim could go on.",
    "Wheat 4.21, maize 3.87, soya 9.02: all three closed lower on reports of a good harvest in the south.",
    (
        "She tuned the old radio by ear, one station at a time, until between two bursts of static a voice came "
        "through that she had not heard in years, reading the shipping forecast as if nothing had changed."
    ),
    (
        "Mix the flour with salt and water. Let it rest for an hour. Fold it four times, turning the bowl a quarter "
        "each time. Shape it, cover it, and leave it in the cold overnight. Bake it in a closed pot until it sounds "
        "hollow."
    ),
    (
        "Patients who had received the new treatment reported fewer symptoms after six weeks than those who had not, "
        "but the groups differed in age, the trial was small, and the difference had all but gone when they were "
        "asked again a year later; the authors therefore call for a larger study before anything is recommended."
    ),
    "Terrible. The screen cracked within a week, the battery lasts an hour, and nobody answers the phone. Avoid!",
)


@dataclass(frozen=True)
class StateAgreement:
    """How far the states of one backend lie from the reference's, at one layer under one pooling.

    `error` is the relative error ‖a − b‖ / ‖b‖ of the worst text. `cosine` is that of the worst text between features
    standardised by the reference's mean and spread over the texts, since a few massive activations decide the cosine
    of raw states; features that are constant there are left out, and it is None where all are.
    """

    layer: int
    pooling: str
    error: float
    cosine: float | None


@dataclass(frozen=True)
class Parity:
    """One backend beside the reference on `texts` texts."""

    model: str
    reference: str
    backend: str
    dtype: str
    texts: int
    agreements: tuple[StateAgreement, ...]

    @property
    def worst_error(self) -> float:
        """The largest relative error of all layers and poolings."""
        return max(each.error for each in self.agreements)

    @property
    def worst_cosine(self) -> float:
        """The smallest cosine of all layers and poolings; NaN where there is none."""
        return min((each.cosine for each in self.agreements if each.cosine is not None), default=math.nan)

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return {
            "model": self.model,
            "reference": self.reference,
            "backend": self.backend,
            "dtype": self.dtype,
            "texts": self.texts,
            "worst_error": self.worst_error,
            "worst_cosine": None if math.isnan(self.worst_cosine) else self.worst_cosine,
            "layers": [
                {"layer": each.layer, "pooling": each.pooling, "error": each.error, "cosine": each.cosine}
                for each in self.agreements
            ],
        }


def to_compare(architecture: str, names: Collection[str] | None = None) -> list[str]:
    """The backends to lay beside each other, the reference first; None takes all that are installed.

    Raises:
        BenchError: one that is named cannot be used, or fewer than two can.
    """
    if names is not None:
        # transformers is what the others are compared with, wherever it takes part.
        chosen = sorted(dict.fromkeys(names), key=lambda name: name != REFERENCE)
        for name in chosen:
            if reason := backend(name).unavailable():
                raise BenchError(f"Backend '{name}' cannot be compared: {reason}")
    else:
        chosen = [
            name
            for name in BACKENDS
            if name == REFERENCE or (backend(name).unavailable() is None and backend(name).supports(architecture))
        ]
    if len(chosen) < 2:
        reasons = [reason for name in BACKENDS if (reason := backend(name).unavailable())]
        raise BenchError(
            " ".join([f"Parity takes two backends, and {chosen[0]} is alone here for a {architecture}.", *reasons])
        )
    return chosen


def compare(
    model: ResolvedModel, settings: ExtractionSettings, names: Sequence[str], progress: Progress = SILENT
) -> list[Parity]:
    """Extract `TEXTS` with each backend of `names`, in the same dtype, and compare all others with the first.

    One model is open at a time.

    Raises:
        BenchError: a backend cannot be used in these settings, or cannot open or run the model.
    """
    wanted = {name: resolve(settings.model_copy(update={"backend": name})) for name in names}
    states = {}
    for name, resolved in wanted.items():
        progress.say(f"extract with {name} on {resolved.device}")
        states[name] = _states(model, resolved)
    first, *others = names
    return [
        Parity(
            model.name,
            first,
            name,
            settings.dtype,
            len(TEXTS),
            tuple(agreements(states[first], states[name], model.poolings)),
        )
        for name in others
    ]


def agreements(expected: Tensor, found: Tensor, poolings: Sequence[str]) -> list[StateAgreement]:
    """Every layer and pooling of `found` beside `expected`, both [texts, layers, poolings, width]."""
    import torch

    expected, found = expected.double(), found.double()
    errors = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    mean, spread = expected.mean(0), expected.std(0)
    # Of what is constant in exact arithmetic, rounding leaves a spread of its own size.
    varies = spread > 1e-6 * expected.abs().amax(0)
    scale = torch.where(varies, spread, torch.inf)
    cosine = torch.cosine_similarity((expected - mean) / scale, (found - mean) / scale, dim=-1)
    return [
        StateAgreement(
            layer,
            pooling,
            float(errors[:, layer, place].max()),
            float(cosine[:, layer, place].min()) if bool(varies[layer, place].any()) else None,
        )
        for layer in range(expected.shape[1])
        for place, pooling in enumerate(poolings)
    ]


def _states(model: ResolvedModel, settings: ResolvedSettings) -> Tensor:
    """[texts, layers + 1, poolings, width] of `TEXTS`."""
    from bench.backends.batches import in_order

    opened, rows = backend(settings.backend).open(model, settings), range(len(TEXTS))
    try:
        return in_order(opened.hidden_states(opened.encode(TEXTS), rows, range(model.layers + 1)), rows)
    finally:
        opened.close()
