"""What the command line does, as Python calls: `bench.search(...)`, then `.front`, `.report(...)`, `.export(...)`.

`bench.search`, `bench.reopen` and `bench.compare` are these functions. Every command calls one of them and prints what
it gives. `home` is a folder of runs, or a `Home` that also says where the store lies. Importing this package is quick:
what a call needs is imported when it is called.
"""

from bench.api.after import compare, cost, export, report
from bench.api.applying import apply, estimate
from bench.api.bundles import bundle, verify_bundle
from bench.api.distilling import distill
from bench.api.gate import check, new_baseline
from bench.api.labelling import TO_LABEL, label_next, refuse_ending, suspects
from bench.api.overview import (
    aliases,
    check_address,
    compare_backends,
    datasets,
    delete_study,
    doctor,
    explain,
    fusions,
    models,
    open_ui,
    rename_study,
    space,
    space_schema,
    studies,
    study_files,
    study_overview,
    terms,
    told,
)
from bench.api.predictions import evaluate, predict
from bench.api.reproduction import plan_reproduction, reproduce, reproductions
from bench.api.states import export_states, extract, import_states, remembered, store, verify_store
from bench.api.study import Searched, plan, reopen, search
from bench.api.tables import CLOSED, EXTRACT_SETTINGS, KEYWORDS, REPRODUCE_SETTINGS, names
from bench.home import Home
from bench.study.settings import SEARCH_SETTINGS

__all__ = [
    "CLOSED",
    "EXTRACT_SETTINGS",
    "KEYWORDS",
    "REPRODUCE_SETTINGS",
    "SEARCH_SETTINGS",
    "TO_LABEL",
    "Home",
    "Searched",
    "aliases",
    "apply",
    "bundle",
    "check",
    "check_address",
    "compare",
    "compare_backends",
    "cost",
    "datasets",
    "delete_study",
    "distill",
    "doctor",
    "estimate",
    "evaluate",
    "explain",
    "export",
    "export_states",
    "extract",
    "fusions",
    "import_states",
    "label_next",
    "models",
    "names",
    "new_baseline",
    "open_ui",
    "plan",
    "plan_reproduction",
    "predict",
    "refuse_ending",
    "remembered",
    "rename_study",
    "reopen",
    "report",
    "reproduce",
    "reproductions",
    "search",
    "space",
    "space_schema",
    "store",
    "studies",
    "study_files",
    "study_overview",
    "suspects",
    "terms",
    "told",
    "verify_bundle",
    "verify_store",
]
