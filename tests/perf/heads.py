"""Training heads: bench against a plain PyTorch DataLoader loop, in turn, as ratios. Reports; asserts nothing.

Run it as a script; `--quick` does one round. Both sides standardise on the training rows, train every head for the
same number of epochs (the paper's settings), and predict the held-out rows. The second half compares the scores of
the fast mode with those of float32: over many seeds, paired, with a Kolmogorov-Smirnov test of the two samples.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from scipy.stats import ks_2samp
from torch.utils.data import DataLoader, TensorDataset

from bench.heads import Job, fit, fit_predict
from bench.heads.products import fast_exact_products
from bench.metrics import score
from bench.specs import MLP, Candidate, Logistic, Source

WIDTH = 1152


@dataclass(frozen=True)
class Case:
    name: str
    rows: int
    classes: int
    seeds: int
    epochs: int

    def data(self) -> tuple[torch.Tensor, np.ndarray]:
        """Gaussian classes that overlap, so that heads err."""
        rng = np.random.default_rng(0)
        labels = rng.integers(0, self.classes, self.rows)
        centres = rng.normal(size=(self.classes, WIDTH)) * 0.06
        return torch.from_numpy((centres[labels] + rng.normal(size=(self.rows, WIDTH))).astype(np.float32)), labels

    def jobs(self, seeds: int | None = None) -> list[Job]:
        """Five folds for each seed."""
        jobs = []
        for seed in range(seeds or self.seeds):
            order, fold = np.random.default_rng(seed).permutation(self.rows), np.arange(self.rows) % 5
            jobs += [Job(order[fold != k], order[fold == k], seed) for k in range(5)]
        return jobs

    def candidate(self) -> Candidate:
        return Candidate(sources=(Source(model="any", layer=0, pooling="mean"),), head=MLP(epochs=self.epochs))

    def multiply_adds(self) -> float:
        """Of the two products with the features (forward, gradient), which are nearly all of the work."""
        return 2 * self.seeds * 5 * self.epochs * (self.rows * 0.8) * WIDTH * 256


# Forty epochs stand for 120 where the plain loop would take a minute: setting up costs bench a little more than it.
CASES = [Case("25 heads, n=200", 200, 2, 5, 120), Case("5 heads, n=5,485", 5485, 8, 1, 40)]


def plain_loop(x: torch.Tensor, labels: np.ndarray, classes: int, job: Job, epochs: int) -> np.ndarray:
    """What one would write first."""
    torch.manual_seed(job.seed)
    train = x[job.train]
    mean, deviation = train.mean(0), train.std(0)
    rows = TensorDataset((train - mean) / deviation, torch.from_numpy(labels[job.train]))
    net = torch.nn.Sequential(torch.nn.Linear(WIDTH, 256), torch.nn.ReLU(), torch.nn.Linear(256, classes))
    adam = torch.optim.Adam(net.parameters(), lr=1e-4)
    loader = DataLoader(rows, batch_size=1024, shuffle=True)
    for _ in range(epochs):
        for inputs, targets in loader:
            adam.zero_grad()
            torch.nn.functional.cross_entropy(net(inputs), targets).backward()
            adam.step()
    with torch.no_grad():
        return np.asarray(net((x[job.predict] - mean) / deviation).softmax(-1))


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak(dtype: torch.dtype) -> float:
    """Multiply-adds a second of a large product, the best of ten."""
    a, b = torch.randn(2, 2048, 2048).to(dtype)
    with fast_exact_products(a.device):
        return 2048**3 / min(timed(lambda: a @ b) for _ in range(10))


def speed(case: Case, rounds: int) -> None:
    x, labels = case.data()
    jobs, candidate = case.jobs(), case.candidate()
    sides: dict[str, Callable[[], object]] = {
        "DataLoader loop": lambda: [plain_loop(x, labels, case.classes, job, case.epochs) for job in jobs],
        "float32": lambda: fit_predict([x], labels, case.classes, jobs, candidate),
        "fast (bfloat16)": lambda: fit_predict([x], labels, case.classes, jobs, candidate, precision="fast"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, work in sides.items():
            seconds[name].append(timed(work))
    base = median(seconds["DataLoader loop"])
    print(f"\n{case.name}, d={WIDTH:,}, {case.epochs} epochs; median of {rounds}")
    for name, values in seconds.items():
        share = case.multiply_adds() / median(values) / peak(torch.bfloat16 if "fast" in name else torch.float32)
        print(f"  {name:18} {median(values):7.2f} s   ratio {base / median(values):5.2f}   share of peak {share:4.0%}")


def agreement(case: Case, seeds: int) -> None:
    x, labels = case.data()
    jobs, candidate = case.jobs(seeds), case.candidate()
    scores = {}
    for precision in ("float32", "fast"):
        predictions = fit_predict([x], labels, case.classes, jobs, candidate, precision=precision)  # type: ignore[arg-type]
        each = [score(labels[j.predict], p.argmax(1), case.classes) for p, j in zip(predictions, jobs, strict=True)]
        scores[precision] = np.array([[s.accuracy, s.macro_f1] for s in each])
    print(f"\n{case.name}: fast − float32 over {len(jobs)} heads with the same seeds and folds")
    for column, name in enumerate(("accuracy", "macro-F1")):
        slow, fast = scores["float32"][:, column], scores["fast"][:, column]
        same = ks_2samp(slow, fast, method="asymp").pvalue
        error = 1.96 * (fast - slow).std(ddof=1) / np.sqrt(len(jobs))
        print(
            f"  {name:9} {slow.mean():.4f} ± {slow.std(ddof=1):.4f} and {fast.mean():.4f} ± {fast.std(ddof=1):.4f}; "
            f"difference {(fast - slow).mean():+.5f} ± {error:.5f} (95 %); KS p = {same:.2f}"
        )


def logistic(case: Case) -> None:
    x, labels = case.data()
    jobs = case.jobs()
    candidate = case.candidate().model_copy(update={"head": Logistic()})
    start = time.perf_counter()
    heads = fit([x], labels, case.classes, jobs, candidate)
    print(
        f"\n{case.name}: {len(jobs)} tuned logistic regressions in {time.perf_counter() - start:.2f} s, "
        f"{sum(head.converged for head in heads)} converged"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round")
    quick = parser.parse_args().quick
    for each_case in CASES:
        speed(each_case, 1 if quick else 5)
    agreement(CASES[0], 5 if quick else 20)
    agreement(CASES[1], 1 if quick else 4)
    for each_case in CASES:
        logistic(each_case)
