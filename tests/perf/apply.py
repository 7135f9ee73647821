"""What `bench apply` costs beside the model that it applies, and whether its memory stays flat.

    python tests/perf/apply.py --model classifier                    # 20,000 short texts, in turn, three times
    python tests/perf/apply.py --model classifier --rows 1000000 --rounds 1 --only apply

*Model alone* is `Classifier.predict` of the same texts in lists of a shard's length, which reads and writes nothing.
*Apply* reads a csv file twice, answers, and writes Parquet. The seconds of both begin before the package is opened;
peaks are of resident memory, of a process of its own each.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SHARD = 10_000
WORDS = ("wheat", "corn", "oil", "tanker", "profit", "shares", "bank", "rate", "trade", "deficit", "crude", "stake")


def texts(rows: int) -> Iterator[str]:
    """Ten words each, all different."""
    drawn = np.random.default_rng(0)
    for start in range(0, rows, SHARD):
        picked = drawn.integers(0, len(WORDS), (min(SHARD, rows - start), 9))
        yield from (f"{' '.join(WORDS[word] for word in row)} {start + place}" for place, row in enumerate(picked))


def alone(model: Path, rows: int) -> float:
    from bench.home import store_home
    from bench.packaging.classifier import Classifier

    source = list(texts(rows))
    started = time.perf_counter()
    opened = Classifier.open(model / "artifacts" / "pipeline", store_home())
    for start in range(0, rows, SHARD):
        opened.predict(source[start : start + SHARD])
    return time.perf_counter() - started


def applied(model: Path, rows: int) -> float:
    from bench import api

    with tempfile.TemporaryDirectory() as place:
        table = Path(place) / "texts.csv"
        with table.open("w", encoding="utf-8") as file:
            file.write("id,text\n")
            file.writelines(f"{row},{text}\n" for row, text in enumerate(texts(rows)))
        started = time.perf_counter()
        api.apply(str(model), table, Path(place) / "out", shard_rows=SHARD)
        return time.perf_counter() - started


SIDES = {"alone": alone, "apply": applied}


def measured(side: str, model: Path, rows: int) -> dict[str, float]:
    """In a process of its own."""
    command = [sys.executable, __file__, "--model", str(model), "--rows", str(rows), "--side", side]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=SIDES)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        seconds = SIDES[given.side](given.model, given.rows)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({"seconds": seconds, "peak_gib": peak}))
        return
    sides = [given.only] if given.only else list(SIDES)
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(given.rounds):
        for side in sides:
            found[side].append(measured(side, given.model, given.rows))
    for side, runs in found.items():
        rates = [given.rows / run["seconds"] for run in runs]
        peak = max(run["peak_gib"] for run in runs)
        print(f"{side:6} {given.rows:,} texts: {statistics.median(rates):,.0f} texts/s, peak {peak:.2f} GiB")
    if len(found) == 2:
        pairs = zip(found["apply"], found["alone"], strict=True)
        ratios = sorted(one["seconds"] / other["seconds"] for one, other in pairs)
        print(f"apply ÷ alone: {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}) of the seconds")


if __name__ == "__main__":
    main()
