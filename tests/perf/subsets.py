"""All subsets of seven sources: bench, side by side, against a plain DataLoader loop, as ratios. Asserts nothing.

Run it as a script; `--quick` takes a few subsets, a few epochs and three rounds. Every side trains the same heads (the
paper's settings) on the same standardised concatenations. `one by one` is what a search does: all seeds of a subset
together. The second half compares the scores of side by side with those of one by one over many heads, paired, with a
Kolmogorov-Smirnov test of the two samples: beyond one batch the order of batches is another draw.
"""

import argparse
from collections.abc import Callable
from itertools import combinations
from statistics import median

import numpy as np
import ratios
import torch
from ratios import Ratios
from scipy.stats import ks_2samp
from torch.utils.data import DataLoader, TensorDataset

from bench.heads import Job, fit_predict, predict_subsets
from bench.metrics import score
from bench.specs import MLP, Candidate, Source

SOURCES, WIDTH, CLASSES, ROWS, HELD_OUT = 7, 384, 8, 5485, 1000
SUBSETS = [subset for size in range(1, SOURCES + 1) for subset in combinations(range(SOURCES), size)]


def data() -> tuple[list[torch.Tensor], np.ndarray]:
    """Gaussian classes that overlap, so that heads err; the last rows are held out."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, ROWS + HELD_OUT)
    features = []
    for _ in range(SOURCES):
        centres = rng.normal(size=(CLASSES, WIDTH)) * 0.05
        x = centres[labels] + rng.normal(size=(len(labels), WIDTH))
        features.append(torch.from_numpy(x.astype(np.float32)))
    return features, labels


def job(seed: int) -> Job:
    return Job(np.arange(ROWS), np.arange(ROWS, ROWS + HELD_OUT), seed)


def plain_loop(x: torch.Tensor, labels: np.ndarray, seed: int, epochs: int) -> None:
    """What one would write first."""
    torch.manual_seed(seed)
    train = x[:ROWS]
    rows = TensorDataset((train - train.mean(0)) / train.std(0), torch.from_numpy(labels[:ROWS]))
    net = torch.nn.Sequential(torch.nn.Linear(x.shape[1], 256), torch.nn.ReLU(), torch.nn.Linear(256, CLASSES))
    adam = torch.optim.Adam(net.parameters(), lr=1e-4)
    loader = DataLoader(rows, batch_size=1024, shuffle=True)
    for _ in range(epochs):
        for inputs, targets in loader:
            adam.zero_grad()
            torch.nn.functional.cross_entropy(net(inputs), targets).backward()
            adam.step()


def candidate(subset: tuple[int, ...], head: MLP) -> Candidate:
    sources = tuple(Source(model=f"m{number}", layer=0, pooling="mean") for number in subset)
    return Candidate(sources=sources, fusion="none" if len(subset) == 1 else "concat", head=head)


def speed(found: Ratios, subsets: list[tuple[int, ...]], seeds: int, epochs: int, rounds: int) -> None:
    features, labels = data()
    head = MLP(epochs=epochs)

    def one_by_one() -> None:
        for subset in subsets:
            jobs = [job(seed) for seed in range(seeds)]
            fit_predict([features[number] for number in subset], labels, CLASSES, jobs, candidate(subset, head))

    sides: dict[str, Callable[[], object]] = {
        "DataLoader loop": lambda: [
            plain_loop(torch.cat([features[number] for number in subset], 1), labels, seed, epochs)
            for subset in subsets
            for seed in range(seeds)
        ],
        "one by one": one_by_one,
        "side by side": lambda: [
            predict_subsets(features, subsets, labels, CLASSES, job(seed), head) for seed in range(seeds)
        ],
    }
    seconds = ratios.in_turn(sides, rounds)
    base = median(seconds["DataLoader loop"])
    heads = len(subsets) * seeds
    print(f"{heads} heads ({len(subsets)} subsets × {seeds} seeds), n={ROWS:,}, {epochs} epochs; median of {rounds}")
    for name, values in seconds.items():
        print(f"  {name:16} {median(values):8.2f} s   ratio {base / median(values):5.2f}", flush=True)
    for name in ("one by one", "side by side"):
        found.faster(f"{heads} MLPs of subsets, {name}: × DataLoader loop", seconds[name], seconds["DataLoader loop"])


def agreement(subsets: list[tuple[int, ...]], seeds: int, epochs: int) -> None:
    features, labels = data()
    head = MLP(epochs=epochs)
    truth = labels[ROWS:]
    pairs = []
    for seed in range(seeds):
        together = [each.probabilities for each in predict_subsets(features, subsets, labels, CLASSES, job(seed), head)]
        for subset, ours in zip(subsets, together, strict=True):
            sources = [features[number] for number in subset]
            (alone,) = fit_predict(sources, labels, CLASSES, [job(seed)], candidate(subset, head))
            pairs.append([score(truth, each.argmax(1), CLASSES).macro_f1 for each in (ours, alone)])
    ours, alone = np.array(pairs).T
    error = 1.96 * (ours - alone).std(ddof=1) / len(pairs) ** 0.5
    same = ks_2samp(ours, alone, method="asymp").pvalue
    print(
        f"macro-F1 of {len(pairs)} heads: side by side {ours.mean():.4f}, one by one {alone.mean():.4f}; "
        f"difference {(ours - alone).mean():+.5f} ± {error:.5f} (95 %); KS p = {same:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options = ratios.options(parser).parse_args()
    quick = options.quick
    with ratios.measured(options.json) as found:
        speed(found, SUBSETS[::16] if quick else SUBSETS[::4], 2 if quick else 5, 2 if quick else 5, 3)
        agreement(SUBSETS[::16] if quick else SUBSETS[::8], 1 if quick else 3, 10 if quick else 40)


if __name__ == "__main__":
    main()
