"""Who should choose what is tried? Searches replayed on recorded tables; writes the tables of docs/design/samplers.md.

    python tests/perf/samplers.py              # ten seeds on four data sets
    python tests/perf/samplers.py --seeds 2    # prints, and writes nothing
    python tests/perf/samplers.py --record     # first makes the tables anew (see tests/perf/recorded.py)

What a search has found is the hypervolume of its scored candidates as a share of that of the whole table, in macro-F1's
floor and the logarithm of milliseconds, above the median score and below the largest cost. Its seconds are those of the
screening, of the trials, and the sampler's own.
"""

import argparse
import re
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from statistics import fmean, median, pstdev
from typing import NamedTuple

import numpy as np
import optuna
import recorded
from recorded import COSTS, HEAD, INDEX, LARGEST, Recorded
from replays import MS, Neighbours, Search, Tree, Way, best_first, screened, ungrouped, volume

from bench.cost import latency_ms
from bench.screening.table import Priced, layers
from bench.specs import Candidate

PAGE = Path(__file__).parents[2] / "docs" / "design" / "samplers.md"
SEEDS = 10
NAMED = {"`tpe`": "tpe", "`random`": "random", "`nsga2`": "nsga2"}
WAYS = {
    "screening, best first": Way(first=50),
    **{
        f"screening, 10 best first, then {name}": Way(sampler, first=10)
        for name, sampler in {**NAMED, "neighbours": Neighbours}.items()
    },
    "screening, 25 best first, then `random`": Way("random", first=25),
    "screening, 25 best first, then neighbours": Way(Neighbours, first=25),
    "`tpe`, taught the screening's scores": Way("tpe", first=0, taught=True),
    "neighbours": Way(Neighbours),
    "`tpe`": Way("tpe"),
    "`tpe` on a tree": Way("tpe", encoding=Tree),
    "`tpe`, ungrouped": Way(ungrouped),
    "`nsga2`": Way("nsga2"),
    "`random`": Way("random"),
}


LATER = {
    "more of the screening's": Way(first=100),
    **{name: Way(sampler, first=60) for name, sampler in {**NAMED, "neighbours": Neighbours}.items()},
}


@dataclass(frozen=True)
class Contest:
    """Ways that are compared after so many trials, and within so many seconds."""

    ways: Mapping[str, Way]
    trials: Sequence[int]
    seconds: Sequence[int] = ()


CONTESTS = (Contest(WAYS, (10, 25, 50), (2, 5)), Contest(LATER, (60, 80, 100)))
TRIALS = CONTESTS[0].trials


class Replayed(NamedTuple):
    """Shares of hypervolume after the contest's trials and within its seconds, and the sampler's seconds a trial."""

    shares: list[float]
    own: float


class Job(NamedTuple):
    """A search of a contest on a table, by their places."""

    contest: int
    way: str
    table: int
    seed: int


def replay(job: Job) -> Replayed:
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    contest = CONTESTS[job.contest]
    search = Search(tables()[job.table], contest.ways[job.way], job.seed).run(max(contest.trials))
    within = [[share for clock, share in search.curve if clock <= seconds] for seconds in contest.seconds]
    shares = [
        *(search.curve[count - 1][1] for count in contest.trials),
        *(each[-1] if each else 0.0 for each in within),
    ]
    return Replayed(shares, fmean(search.thinking))


@cache
def tables() -> list[Recorded]:
    return recorded.load()


# -- what earlier studies know


@cache
def standing(table: Recorded) -> dict[Candidate, float]:
    """What a study's screening saw, in deviations of single sources above their mean."""
    seen = screened(table)
    alone = [seen.value(row) for row in seen.rows if len(row.sources) == 1]
    return {row.candidate(HEAD): (seen.value(row) - fmean(alone)) / pstdev(alone) for row in seen.rows}


def design(candidates: Iterable[Candidate]) -> np.ndarray:
    """What is alike between data sets: each source's model, depth and pooling, how many there are, the operator."""
    places = {candidate.sources[0]: place for place, candidate in enumerate(INDEX) if len(candidate.sources) == 1}
    rows = []
    for candidate in candidates:
        row = np.zeros(len(places) + LARGEST + 1)
        for source in candidate.sources:
            row[places[source]] = 1 / len(candidate.sources)
        row[len(places) + len(candidate.sources) - 1] = 1
        row[-1] = candidate.fusion == "late"
        rows.append(row)
    return np.array(rows)


@cache
def prior(table: Recorded) -> dict[Candidate, float]:
    """What the other data sets' studies let expect of every candidate of the space: least squares, a row weighs 1."""
    known = [pair for other in tables() if other is not table for pair in standing(other).items()]
    x, y = design(candidate for candidate, _ in known), np.array([value for _, value in known])
    weights = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ y)
    return dict(zip(INDEX, (design(INDEX) @ weights).tolist(), strict=True))


def blended(table: Recorded, weight: float | None) -> list[Candidate]:
    """Best first by the screening plus so much of the prior; None is the prior alone, which needs no screening."""
    before = prior(table)
    known = before if weight is None else {one: z + weight * before[one] for one, z in standing(table).items()}
    rows = [Priced(table.seen(one), value, latency_ms(COSTS, one)) for one, value in known.items()]
    return [row.seen.candidate(HEAD) for layer in islice(layers(rows), 20) for row in layer]


def ordered(table: Recorded, order: Sequence[Candidate]) -> list[float]:
    """Shares of hypervolume after `TRIALS`, when candidates are tried in an order after the controls."""
    first = [member.candidate for member in best_first(table, None)]
    points = [(float(table.floors[INDEX[one]]), float(MS[INDEX[one]])) for one in dict.fromkeys([*first, *order])]
    return [volume(table, points[:count]) for count in TRIALS]


# -- the page


def ranking(contest: Contest, found: Mapping[str, Sequence[Sequence[Replayed]]]) -> str:
    """Searches by way, data set and seed: the best in the mean over the numbers of trials first.

    Ways that cannot be told from the best are in the order of their own time.
    """
    rows = []
    for name, sets in found.items():
        shares = 100 * np.array([[search.shares for search in seeds] for seeds in sets]).mean(0)
        mean, half = interval(shares)
        overall, apart = interval(shares[:, : len(contest.trials)].mean(1))
        own = 1000 * fmean(search.own for seeds in sets for search in seeds)
        cells = [f"{share:.1f} ± {about:.1f}" for share, about in zip(mean, half, strict=True)]
        rows.append((float(overall), float(apart), own, [name, *cells, f"{own:.1f}"]))
    best, apart, *_ = max(rows)
    rows.sort(key=lambda row: (0, row[2]) if row[0] >= best - apart else (1, -row[0]))
    after = [*(f"{count} trials" for count in contest.trials), *(f"{seconds} s" for seconds in contest.seconds)]
    return markdown(["who chooses", *after, "own ms a trial"], [cells for *_, cells in rows])


def interval(seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over seeds, and half of its 95 % interval."""
    return seeds.mean(0), 1.96 * seeds.std(0, ddof=1) / len(seeds) ** 0.5


def warmed() -> str:
    """What earlier studies add to the screening, or do instead of it: a data set each left out."""
    ways = {"screening alone": 0.0, **{f"screening + {weight} × prior": weight for weight in (0.25, 0.5, 1.0)}}
    alone = np.array([ordered(table, blended(table, 0.0)) for table in tables()])
    rows = []
    for name, weight in {**ways, "prior alone, no screening": None}.items():
        shares = np.array([ordered(table, blended(table, weight)) for table in tables()])
        apart = (shares - alone).mean(1)
        half = 3.18 * apart.std(ddof=1) / len(apart) ** 0.5  # Student's t, three degrees of freedom
        more = "" if weight == 0.0 else f"{100 * apart.mean():+.1f} ± {100 * half:.1f}"
        rows.append([name, *(f"{100 * share:.1f}" for share in shares.mean(0)), more])
    return markdown(["tried first", *(f"{count} trials" for count in TRIALS), "to screening alone"], rows)


def thinking() -> str:
    """Milliseconds of a proposal, by how many trials are known."""
    rows = []
    table = tables()[0]
    for name in ("`tpe`", "`tpe` on a tree", "neighbours", "`nsga2`", "`random`"):
        cells = []
        for count in (100, 1000):
            search = Search(table, Way("random", encoding=WAYS[name].encoding), 0).run(count)
            search.way, taken = WAYS[name], []
            for _ in range(5):
                start = time.process_time()
                search.propose(unseen=False)
                taken.append(time.process_time() - start)
            cells.append(f"{1000 * median(taken):.1f}")
        rows.append([name, *cells])
    return markdown(["who proposes", "ms after 100 trials", "ms after 1,000 trials"], rows)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [header, ["---"] * len(header), *rows])


def rewrite(parts: Sequence[str]) -> None:
    """Put tables where the page has them."""
    left = iter(parts)
    page = re.sub(r"(?:^\|.*\n)+", lambda _: next(left), PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    PAGE.write_text(page, encoding="utf-8")


def main(seeds: int) -> list[str]:
    places = range(len(tables()))
    jobs = [
        Job(number, name, place, seed)
        for number, contest in enumerate(CONTESTS)
        for name in contest.ways
        for place in places
        for seed in range(seeds)
    ]
    with ProcessPoolExecutor(2) as pool:
        found = dict(zip(jobs, pool.map(replay, jobs, chunksize=seeds), strict=True))
    ranked = [
        ranking(
            contest,
            {
                name: [[found[Job(number, name, place, seed)] for seed in range(seeds)] for place in places]
                for name in contest.ways
            },
        )
        for number, contest in enumerate(CONTESTS)
    ]
    return [*ranked, thinking(), warmed()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--record", action="store_true", help="score all candidates anew first")
    asked = parser.parse_args()
    if asked.record:
        recorded.record()
    parts = main(asked.seeds)
    print("\n".join(parts))
    if asked.seeds == SEEDS:
        rewrite(parts)
