"""A store of many rows: how it opens, and how fast matrices are read from it. Prints, asserts nothing.

    python tests/perf/store.py                          # both cases; needs 3 GB of disk
    python tests/perf/store.py --rows 100000            # the first case smaller, as a checkout of before can open it
    python tests/perf/store.py --against ../other       # the same by the bench of another checkout, in turn
    python tests/perf/store.py --json

*open*: `--rows` rows of 62 slots of width 8 in bfloat16 (992 bytes a row), of which a process that has loaded torch
asks what is missing: nothing. Seconds, and MiB that its memory has grown by, at its end and at its peak.
*matrix*: a matrix of width 576 from `--matrix-rows` rows in bfloat16, in a random order, as float32; GB/s are of what
is stored. Beside it `dd` over the same bytes. Sides in turn, three times cold and five times warm, medians. Cold is
after the system's cache was dropped where that is allowed, else after each file was taken out of it, which is printed.
"""

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parents[2]
MIB = 1 << 20
SEGMENT = 512
IDENTITY = {"model": "store", "storage_dtype": "bfloat16"}
SLOTS = [f"{layer}.{pooling}" for layer in range(31) for pooling in ("mean", "last")]
WIDE = SLOTS[:4]


def keys(rows: int) -> list[bytes]:
    return [hashlib.sha256(b"%d" % row).digest()[:16] for row in range(rows)]


def make(home: Path, rows: int, slots: Sequence[str], width: int) -> None:
    """A shelf of segments as an extraction writes them."""
    import torch

    from bench.store import Store

    shelf, generator = Store(home).shelf(IDENTITY), torch.Generator().manual_seed(0)
    known = keys(rows)
    for start in range(0, rows, SEGMENT):
        part = known[start : start + SEGMENT]
        states = {name: torch.randn(len(part), width, generator=generator).bfloat16() for name in slots}
        shelf.append(part, [1] * len(part), [False] * len(part), states)


def files(home: Path) -> list[Path]:
    return sorted(home.rglob("*.safetensors"))


def cool(home: Path) -> str:
    """Take the files out of the system's cache; how."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except OSError:
        for path in files(home):
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return "posix_fadvise"
    return "drop_caches"


def memory() -> float:
    """MiB that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / MIB


def opening(home: Path, rows: int) -> dict[str, float]:
    """Run in a process of its own."""
    import torch  # noqa: F401
    import xxhash  # noqa: F401
    from safetensors.torch import save_file  # noqa: F401

    from bench.store import Store

    known = keys(rows)
    before = memory()
    started = time.perf_counter()
    shelf = Store(home).shelf(IDENTITY)
    left = shelf.missing(known, SLOTS)
    seconds = time.perf_counter() - started
    assert not left
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "mib": memory() - before, "peak_mib": peak - before}


def reading(home: Path, rows: int) -> dict[str, float]:
    """Run in a process of its own: the first matrix of a slot that was never read."""
    from bench.store import Store

    shelf = Store(home).shelf(IDENTITY)
    known = keys(rows)
    order = np.random.default_rng(0).permutation(rows)
    wanted = [known[row] for row in order]
    assert not shelf.missing(wanted, WIDE)
    shelf.matrix(wanted, WIDE[0])
    before = memory()
    started = time.perf_counter()
    matrix = shelf.matrix(wanted, WIDE[1])
    seconds = time.perf_counter() - started
    stored = matrix.nbytes / 2
    return {"seconds": seconds, "gb_per_s": stored / seconds / 1e9, "mib": memory() - before - matrix.nbytes / MIB}


def dd(home: Path) -> dict[str, float]:
    """The same bytes as one file, so that no process a segment is counted."""
    whole = home / "whole"
    started = time.perf_counter()
    subprocess.run(["dd", f"if={whole}", "of=/dev/null", "bs=1M", "status=none"], check=True)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "gb_per_s": whole.stat().st_size / seconds / 1e9}


def asked(checkout: Path, *words: object) -> dict[str, Any]:
    """What this script measures in a process, with the bench of a checkout."""
    command = [sys.executable, __file__, *map(str, words)]
    ran = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(checkout)}, check=True, stdout=subprocess.PIPE)
    return dict(json.loads(ran.stdout))


def medians(found: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(each[name] for each in found) for name in found[0]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--matrix-rows", type=int, default=100_000)
    parser.add_argument("--against", type=Path, help="A checkout of another version.")
    parser.add_argument("--folder", type=Path, help="Where the stores are made, and kept.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", choices=("opening", "reading"), help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps({"opening": opening, "reading": reading}[options.child](options.home, options.rows)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = options.folder or Path(name)
        found = measure(folder, options)
    print(json.dumps(found, indent=1) if options.json else table(found))


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    sides = {"this": HERE} | ({"against": options.against.absolute()} if options.against else {})
    many, wide = folder / f"many-{options.rows}", folder / f"wide-{options.matrix_rows}"
    for home, rows, slots, width in ((many, options.rows, SLOTS, 8), (wide, options.matrix_rows, WIDE, 576)):
        if not home.exists():
            make(home, rows, slots, width)
    if not (wide / "whole").exists():
        with (wide / "whole").open("wb") as file:
            for path in files(wide):
                file.write(path.read_bytes())
    found: dict[str, Any] = {"rows": options.rows, "matrix_rows": options.matrix_rows}
    found["gb"] = sum(path.stat().st_size for path in files(many)) / 1e9
    for heat in ("cold", "warm"):
        opened: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
        read: dict[str, list[dict[str, float]]] = {side: [] for side in (*sides, "dd")}
        for _ in range(5 if heat == "warm" else 3):
            for side, checkout in sides.items():
                if heat == "cold":
                    found["cooled_by"] = cool(many)
                opened[side].append(asked(checkout, "--child", "opening", "--home", many, "--rows", options.rows))
            for side in read:
                if heat == "cold":
                    cool(wide)
                words = ("--child", "reading", "--home", wide, "--rows", options.matrix_rows)
                read[side].append(dd(wide) if side == "dd" else asked(sides[side], *words))
        found[heat] = {
            "open": {side: medians(each) for side, each in opened.items()},
            "matrix": {side: medians(each) for side, each in read.items()},
        }
    return found


def table(found: dict[str, Any]) -> str:
    lines = [
        f"{found['rows']:,} rows x {len(SLOTS)} slots x 8 ({found['gb']:.2f} GB)",
        f"matrix of {found['matrix_rows']:,} rows x 576",
        f"cold: by {found['cooled_by']}",
        "",
        f"{'':24} {'seconds':>8} {'MiB':>7} {'peak':>7} {'GB/s':>6}",
    ]
    for heat in ("cold", "warm"):
        for what, sides in found[heat].items():
            for side, each in sides.items():
                cells = [f"{each['seconds']:8.2f}"]
                cells += [f"{each[name]:7.0f}" if name in each else " " * 7 for name in ("mib", "peak_mib")]
                cells += [f"{each['gb_per_s']:6.2f}" if "gb_per_s" in each else ""]
                lines.append(f"{f'{heat} {what}, {side}':24} {' '.join(cells)}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
