"""Test accuracy of what a study's screening saw, under ridge: what the data allows, for no choice may see it.

python tests/perf/ceiling.py STORE HOME STUDY [MOST]      # prints JSON; the MOST best by screening
"""

import json
import sys
from pathlib import Path

from bench.space.candidates import canonical
from bench.specs import Ridge
from bench.store import Store
from bench.study.reopen import reopen

store, home, name = sys.argv[1:4]
study = reopen(Path(home), name, Store(Path(store)))
assert study.screening is not None
ranked = study.screening.ranked[: int(sys.argv[4]) if len(sys.argv) > 4 else None]
seeds = study.request.protocol.confirm_seeds[:1]
found = []
for row in ranked:
    candidate = canonical(row.candidate(Ridge()), study.material.models)
    found.append((study.scorer.scored(candidate, "confirm", seeds).accuracy.mean, str(candidate)))
accuracy, best = max(found)
print(json.dumps({"screened": len(found), "accuracy": accuracy, "candidate": best, "first": found[0][0]}))
