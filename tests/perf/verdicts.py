"""How often intervals hold the truth, and how often a search of equal candidates calls one better. Writes, prints.

    python tests/perf/verdicts.py --simulations 400     # writes docs/design/verdicts.json, in an hour of a busy core
    python tests/perf/verdicts.py --simulations 20 --out FILE

`coverage`: of 95 % intervals over test rows or groups (`worlds.py`), of macro-F1, of accuracy, and of the difference of
two classifiers in macro-F1; `rejected` is the share of paired permutation tests below 5 % where both have the same true
macro-F1. `searches`: whole searches (`searches.py`) of sixteen candidates that are equally good in the mean over
training rows: how often any is called `better` or `worse`, which is false of the models, and how often that is `untrue`
of the trained pipelines, which differ by chance; beside it how often holding the front against the one single with the
best search score, in macro-F1 alone, would have called one better. `retrained`: how often the interval of a difference
between two candidates, had other rows been trained on, holds the true one, which is 0; of a pair picked beforehand, and
of what was shown. `power`: the share of searches, of a quarter as many, where a fusion is called better and truly is,
in the mean by its `lead`.

Every share has a 95 % interval (Clopper and Pearson).
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest
from searches import MEASURES, Search, Setting
from worlds import R8, WORLDS, World, other_profiles

from bench.measures import F1
from bench.metrics import LEVEL, bootstrap_interval, paired_interval, paired_permutation

OUT = Path(__file__).parents[2] / "docs" / "design" / "verdicts.json"
FOUR, WIDER = (1.0, 1.0, 1.0, 1.0), 1.5
EQUAL = (
    Setting("four classes, 200 + 600", FOUR, 200, 600),
    Setting("four classes, 600 + 2,000", FOUR, 600, 2000),
    Setting("R8, 600 + 600", R8, 600, 600, WIDER),
)
BETTER = tuple(
    Setting(f"four classes, 600 + {test:,}, fusions see {gain:.0%} less noise", FOUR, 600, test, gain=gain)
    for test, gain in ((600, 0.1), (600, 0.2), (2000, 0.1))
)


def share(held: list[bool]) -> dict[str, Any]:
    """How often, of how many, with an interval."""
    if not held:
        return {"of": 0}
    bounds = binomtest(int(sum(held)), len(held)).proportion_ci()
    return {"share": round(float(np.mean(held)), 4), "of": len(held), "ci95": [round(float(b), 4) for b in bounds]}


def covered(world: World, simulations: int) -> dict[str, Any]:
    held: dict[str, list[bool]] = defaultdict(list)
    for seed in range(simulations):
        drawn = world.drawn(seed)
        rows, options = (drawn.labels, drawn.a), {"seed": seed, "groups": drawn.groups}
        found = bootstrap_interval(*rows, world.classes, "f1", **options)
        held["f1"].append(bool(found.low <= world.f1()[drawn.held(drawn.a)].mean() <= found.high))
        found = bootstrap_interval(*rows, world.classes, "accuracy", **options)
        held["accuracy"].append(bool(found.low <= world.accuracy() <= found.high))
        true = (world.f1() - world.f1(world.others))[drawn.held(drawn.a, drawn.b)].mean()
        found = paired_interval(*rows, drawn.b, world.classes, "f1", **options)
        held["difference"].append(bool(found.low <= true <= found.high))
        test = paired_permutation(*rows, drawn.b, world.classes, "f1", **options, draws=2000)
        held["rejected"].append(test.p <= LEVEL)
    return {name: share(each) for name, each in held.items()}


def searched(setting: Setting, simulations: int) -> dict[str, Any]:
    held: dict[str, list[bool]] = defaultdict(list)
    lead: dict[str, list[float]] = defaultdict(list)
    for seed in range(simulations):
        search = Search(setting, seed)
        singles = list(dict.fromkeys([*search.singles, search.best_single]))
        found = search.verdicts(singles)
        before = search.verdicts([search.best_single], [F1])
        held["better"].append(any(each.verdict == "better" for each in found.values()))
        held["worse"].append(any(each.verdict == "worse" for each in found.values()))
        held["any"].append(any(each.verdict != "open" for each in found.values()))
        held["untrue"].append(any(search.untrue(name, each) for name, each in found.items()))
        held["better_than_best_by_score"].append(any(each.verdict == "better" for each in before.values()))
        lead["singles"].append(len(singles))
        for measure in MEASURES:
            of = {
                kind: np.mean(
                    [each.beyond.value(measure) for each in search.candidates.values() if each.single == kind]
                )
                for kind in (True, False)
            }
            lead[measure.name].append(float(of[False] - of[True]))
            if not setting.gain:
                beforehand = search.retrained("single-0", "fusion-8", measure)
                assert beforehand is not None
                held[f"retrained_{measure.name}"].append(beforehand.low <= 0 <= beforehand.high)
        for comparison in found.values() if not setting.gain else ():
            for each in comparison.by_measure:
                assert each.retrained is not None
                held[f"retrained_{each.measure}_shown"].append(each.retrained.low <= 0 <= each.retrained.high)
    means = {f"lead_{name}": round(float(np.mean(each)), 4) for name, each in lead.items() if name != "singles"}
    return {
        **{name: share(each) for name, each in held.items()},
        "singles": round(float(np.mean(lead["singles"])), 2),
        **(means if setting.gain else {}),
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    for part, rows in found.items():
        if not isinstance(rows, dict):
            continue
        yield f"\n{part}"
        for name, values in rows.items():
            shown = ", ".join(
                f"{key} {each['share']:.3f} ({each['ci95'][0]:.3f}–{each['ci95'][1]:.3f})"
                if isinstance(each, dict)
                else f"{key} {each}"
                for key, each in values.items()
                if not isinstance(each, dict) or each["of"]
            )
            yield f"  {name}: {shown}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--parts", nargs="+", default=["coverage", "searches", "power"], help="others stay as they are")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    found: dict[str, Any] = json.loads(given.out.read_text()) if given.out.exists() else {}
    found |= {"simulations": given.simulations, "level": LEVEL}
    parts: dict[str, tuple[Any, Sequence[World | Setting]]] = {
        "coverage": (covered, (*WORLDS, *other_profiles())),
        "searches": (searched, EQUAL),
        "power": (searched, BETTER),
    }
    for part in given.parts:
        way, worlds = parts[part]
        simulations = given.simulations if part != "power" else max(1, given.simulations // 4)
        found[part] = {}
        for world in worlds:
            name = world.name + (", other profiles" if isinstance(world, World) and world.others else "")
            found[part][name] = way(world, simulations)
            # a run that is cut off leaves what it had
            given.out.write_text(json.dumps(found, indent=2) + "\n")
    print("\n".join(lines(found)))


if __name__ == "__main__":
    main()
