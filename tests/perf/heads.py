"""Training heads: bench against a plain PyTorch DataLoader loop, in turn, as ratios. Reports; asserts nothing.

Run it as a script; `--quick` does three rounds of fewer cases. Both sides standardise on the training rows, train every
head for the same number of epochs (the paper's settings), and predict the held-out rows. The second half compares the
scores of the fast mode with those of float32: over many seeds, paired, with a Kolmogorov-Smirnov test of the samples.
Then the MLP under a tuned learning rate is timed beside a given one, over as many epochs (`--tuned` does it alone).
The last part sets the tuned logistic regression beside scikit-learn's over the same grid of C and inner folds
(`--logistic` does it alone); both are timed by the processor, on one thread.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
import ratios
import torch
from ratios import Ratios
from scipy.stats import ks_2samp
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from threadpoolctl import threadpool_limits
from torch.utils.data import DataLoader, TensorDataset

from bench.heads import Job, fit, fit_predict, logistic
from bench.metrics import score
from bench.products import fast_exact_products
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


LOGISTIC = (160, 384, 3), (480, 384, 2), (820, 384, 8)
"""Training rows, columns and classes."""


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


def speed(found: Ratios, case: Case, rounds: int) -> None:
    x, labels = case.data()
    jobs, candidate = case.jobs(), case.candidate()
    sides: dict[str, Callable[[], object]] = {
        "DataLoader loop": lambda: [plain_loop(x, labels, case.classes, job, case.epochs) for job in jobs],
        "float32": lambda: fit_predict([x], labels, case.classes, jobs, candidate),
        "fast (bfloat16)": lambda: fit_predict([x], labels, case.classes, jobs, candidate, precision="fast"),
    }
    seconds = ratios.in_turn(sides, rounds)
    base = median(seconds["DataLoader loop"])
    print(f"\n{case.name}, d={WIDTH:,}, {case.epochs} epochs; median of {rounds}")
    for name, values in seconds.items():
        share = case.multiply_adds() / median(values) / peak(torch.bfloat16 if "fast" in name else torch.float32)
        print(f"  {name:18} {median(values):7.2f} s   ratio {base / median(values):5.2f}   share of peak {share:4.0%}")
    found.faster(f"MLP, {case.name}: × DataLoader loop", seconds["float32"], seconds["DataLoader loop"])


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


def skewed(rows: int, width: int, classes: int) -> tuple[torch.Tensor, np.ndarray]:
    """Gaussian classes, each half as frequent as the one before, most of whose variance lies in few directions."""
    rng = np.random.default_rng(0)
    shares = 0.5 ** np.arange(classes)
    labels = rng.permutation(np.arange(rows) % classes)
    labels[classes * 5 :] = rng.choice(classes, rows - classes * 5, p=shares / shares.sum())
    spread = 1 / np.sqrt(1 + np.arange(width))
    x = (0.12 * rng.normal(size=(classes, width))[labels] + rng.normal(size=(rows, width))) * spread
    return torch.from_numpy((x @ np.linalg.qr(rng.normal(size=(width, width)))[0]).astype(np.float32)), labels


def whole_grid(x: torch.Tensor, labels: np.ndarray, job: Job) -> float:
    """What one would write first: every C in every inner fold, then the best on all training rows. Returns it."""
    train = x[job.train].double().numpy()
    train, known = (train - train.mean(0)) / train.std(0), labels[job.train]
    losses = {}
    for c in logistic.GRID:
        model = LogisticRegression(C=c, max_iter=1000)
        inner = StratifiedKFold(logistic.INNER_FOLDS, shuffle=True, random_state=job.seed)
        losses[c] = -cross_val_score(model, train, known, cv=inner, scoring="neg_log_loss").mean()
    best = min(losses, key=lambda c: losses[c])
    LogisticRegression(C=best, max_iter=1000).fit(train, known)
    return best


def tuned(ratio: Ratios, rows: int, width: int, classes: int, rounds: int) -> None:
    """Five tuned logistic regressions, sides in turn."""
    x, labels = skewed(rows * 5 // 4, width, classes)
    jobs = Case("", len(labels), classes, 1, 0).jobs()
    candidate = Candidate(sources=(Source(model="any", layer=0, pooling="mean"),), head=Logistic())
    found: dict[str, object] = {}
    sides: dict[str, Callable[[], object]] = {
        "bench": lambda: [fitted.report[0]["C"] for fitted in fit([x], labels, classes, jobs, candidate)],
        "scikit-learn": lambda: [whole_grid(x, labels, job) for job in jobs],
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, work in sides.items():
            start = time.process_time()
            found[name] = work()
            seconds[name].append(time.process_time() - start)
    ours, theirs = (median(values) for values in seconds.values())
    print(f"\n5 tuned logistic regressions of {rows} × {width} × {classes}; median of {rounds}")
    print(f"  bench {ours:.2f} s, scikit-learn {theirs:.2f} s, ratio {theirs / ours:.1f}; C {found}")
    ratio.faster(f"logistic, {rows} × {width} × {classes}: × scikit-learn's grid", *seconds.values())


def tuned_rate(rows: int, width: int, classes: int, epochs: int, rounds: int) -> None:
    """Five MLPs, sides in turn."""
    x, labels = skewed(rows * 5 // 4, width, classes)
    jobs = Case("", len(labels), classes, 1, 0).jobs()
    heads = {"given": MLP(learning_rate=1e-3, epochs=epochs), "tuned": MLP(learning_rate="tuned", epochs=epochs)}
    source = Source(model="any", layer=0, pooling="mean")
    sides = {
        name: partial(fit, [x], labels, classes, jobs, Candidate(sources=(source,), head=head))
        for name, head in heads.items()
    }
    seconds = ratios.in_turn(sides, rounds, time.process_time, warm=False)
    given, found = (median(values) for values in seconds.values())
    print(f"\n5 MLPs of {rows} × {width} × {classes}, {epochs} epochs; median of {rounds}")
    print(f"  rate given {given:.2f} s, tuned {found:.2f} s, ratio {found / given:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--logistic", action="store_true", help="the logistic regression alone")
    parser.add_argument("--tuned", action="store_true", help="the MLP's tuned learning rate alone, which has no ratio")
    options = ratios.options(parser).parse_args()
    if options.tuned:
        torch.set_num_threads(1)
        tuned_rates(1 if options.quick else 3)
        return
    with ratios.measured(options.json) as found:
        if not options.logistic:
            for case in CASES[:1] if options.quick else CASES:
                speed(found, case, 3 if options.quick else 5)
            agreement(CASES[0], 5 if options.quick else 20)
            if not options.quick:
                agreement(CASES[1], 4)
        torch.set_num_threads(1)
        warnings.simplefilter("ignore")  # of scikit-learn, where it stops before it has converged
        if not options.logistic and not options.quick:
            tuned_rates(3)
        with threadpool_limits(1):
            for shape in LOGISTIC[:2] if options.quick else LOGISTIC:
                tuned(found, *shape, 3)


def tuned_rates(rounds: int) -> None:
    for shape, epochs in ((160, 384, 3), 60), ((480, 960, 2), 60), ((820, 384, 8), 60), ((820, 384, 8), 120):
        tuned_rate(*shape, epochs, rounds)


if __name__ == "__main__":
    main()
