"""Several labels a row: what one-vs-rest heads have in common.

A head has an output a label, and each label is given or not by itself. Which outputs are enough is found for each label
on training rows that the head was not trained on: the threshold under which their F1 is largest (the strategy "SCut" of
Yang, A study on thresholding strategies for text categorization, SIGIR 2001). It is subtracted from the output, so that
the score, the logistic function of what is left, is 0.5 there: a score is above 0.5 where a label is given, but is no
probability. The order of texts by one label is not changed by it.

A label that no training row has is never given; one that all of them have, always.
"""

import torch
from torch import Tensor

from bench.heads.pipeline import Affine

LEAST = 2
"""Rows that have a label, and that have it not, without which its threshold stays the usual one."""


def thresholds(outputs: Tensor, targets: Tensor, usual: float) -> Tensor:
    """What each label's output has to exceed so that F1 over the rows is largest, [labels]; of several the highest.

    Args:
        outputs: Of rows that were left out, [rows, labels].
        targets: 0 or 1, [rows, labels].
        usual: Where too few rows say something of a label.
    """
    ordered, order = outputs.sort(dim=0, descending=True, stable=True)
    hits = targets.gather(0, order).cumsum(0).double()
    count, there = len(outputs), targets.sum(0)
    f1 = 2 * hits / (torch.arange(1, count + 1, device=outputs.device)[:, None] + there)
    # nothing is told apart between equal outputs
    f1[:-1][ordered[:-1] == ordered[1:]] = -1
    best = f1.argmax(0, keepdim=True)
    below = torch.cat([ordered[1:], ordered[-1:] - 2 * ordered[-1:].abs() - 1])
    found = ((ordered.gather(0, best) + below.gather(0, best)) / 2)[0]
    return torch.where((there >= LEAST) & (there <= count - LEAST), found, torch.full_like(found, usual))


def settled(layer: Affine, targets: Tensor) -> Affine:
    """The last layer, in which labels that all training rows have, or none, are decided; `targets` [rows, labels]."""
    there = targets.sum(0)
    bias = layer.bias.masked_fill(there == 0, -torch.inf).masked_fill(there == len(targets), torch.inf)
    return Affine(layer.weight, bias)
