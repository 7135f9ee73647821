"""Scores of sets of labels: what is said of each label of a row, 0 or 1 [rows, labels] beside the truth."""

import numpy as np

from bench.metrics.counts import Floats, Ints
from bench.metrics.intervals import Interval
from bench.metrics.selection import Resamples


def samples_f1(truth: Ints, predicted: Ints) -> Floats:
    """F1 of each row's labels, [rows]; 1 where it has none and none is predicted.

    Args:
        truth: [rows, labels], 0 or 1.
        predicted: Of the first labels, which alone were trained on.
    """
    there, said = truth > 0, predicted > 0
    both = there.sum(1) + said.sum(1)
    hits = (there[:, : said.shape[1]] & said).sum(1)
    found: Floats = np.divide(2 * hits, both, out=np.ones(len(truth)), where=both > 0)
    return found


def average_precision(truth: Ints, scores: Floats) -> Floats:
    """Average precision of each label, [labels]: Σ (rise of recall) · precision over the scores that occur.

    As scikit-learn's `average_precision_score`, for all labels at once: a paired test asks ten thousand times. NaN of a
    label that no row has, or that nobody scores.

    Args:
        truth: [rows, labels], 0 or 1.
        scores: Of the first labels, larger where one is likelier.
    """
    rows, scored = scores.shape
    order = np.argsort(-scores, axis=0, kind="stable")
    there = np.take_along_axis(truth[:, :scored] > 0, order, 0)
    ordered = np.take_along_axis(scores, order, 0)
    places = np.arange(rows)[:, None]
    # rows of one score are above any threshold together
    last = np.vstack([ordered[:-1] != ordered[1:], np.ones((1, scored), bool)])
    end = np.minimum.accumulate(np.where(last, places, rows)[::-1], axis=0)[::-1]
    precision = np.take_along_axis(there.cumsum(0), end, 0) / (end + 1)
    count = there.sum(0)
    found: Floats = np.full(truth.shape[1], np.nan)
    found[:scored] = np.divide((precision * there).sum(0), count, out=np.full(scored, np.nan), where=count > 0)
    return found


def f1_intervals(truth: Ints, predicted: Ints, groups: Ints | None, *, seed: int) -> tuple[Interval, ...]:
    """F1 of each label in the mean over repetitions, with its 95% percentile interval over rows, or their groups.

    Args:
        truth: [rows, labels], 0 or 1.
        predicted: Of the first labels, [repetitions, rows, labels].
        groups: Rows of one number are drawn together, [rows].
        seed: Of the draws.
    """
    drawn = Resamples.of(np.arange(len(truth)) if groups is None else groups, seed=seed)
    f1 = drawn.counts_of_sets(truth, predicted).f1.mean(1)
    low, high = np.quantile(f1[1:], (0.025, 0.975), axis=0)
    return tuple(Interval(*map(float, each)) for each in zip(f1[0], low, high, strict=True))
