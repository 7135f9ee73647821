"""Proof at every opening that a backend's own kernels or graph compute what the plain model does."""

import torch
from torch import Tensor

# Of different lengths, so that a wrong mask or position shows.
PROBE = (
    "A probe.",
    "A second, somewhat longer text to compare.",
    "And a third; its length differs from both, of course.",
)
# Seen between the packed and the plain pass: 1e-6 in float32 and 1e-2 in bfloat16; a wrong mask or position gives 0.3.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.1}


def probe_error(found: Tensor, expected: Tensor) -> float:
    """How far states [texts, layers, poolings, width] lie from those expected: the worst text's median.

    Rounding may grow in single layers of a deep model; a wrong mask or position moves most of a text's states.
    """
    errors = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    return float(errors.flatten(1).median(dim=1).values.max())


def disagreement(found: Tensor, expected: Tensor, dtype: torch.dtype) -> float | None:
    """The error of states that were computed in `dtype`, where it is more than rounding; else None."""
    error = probe_error(found, expected)
    # Written so that NaN disagrees.
    return None if error <= TOLERANCE[dtype] else error
