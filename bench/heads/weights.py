"""How much training rows count by their class: one meaning for every kind of head."""

from collections.abc import Mapping

from torch import Tensor

from bench.specs import ClassWeight

EXPONENTS: Mapping[ClassWeight, float] = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}
"""A row weighs (frequency of its class) to the power of minus this."""


def class_weights(labels: Tensor, class_weight: ClassWeight) -> Tensor:
    """Weights of rows by their classes, float64 [n], 1 on average; `labels` are class indices, int64 [n].

    Under ``"balanced"`` they are those of scikit-learn's `compute_sample_weight`.
    """
    counts = labels.bincount().double()
    weights = counts[labels] ** -EXPONENTS[class_weight]
    return weights / weights.mean()
