"""The list of an experiment's runs with a study's columns, as MLflow's UI shares it.

Which columns are shown is a matter of each browser, which begins without any score. A view that is shared by a link
lies in a tag of the experiment, where its state stands as JSON.
"""

import json
import re

from bench.tracking.record import TrackedStudy

TAG = "mlflow.sharedViewState."
"""The beginning of such a tag's name; the key of the link is its end."""
PARAMS = ("models", "head")


def key(study: TrackedStudy) -> str | None:
    """By which the link names the view; None where a study wants no columns."""
    return re.sub(r"\W+", "-", f"bench-{study.columns[0]}") if study.columns else None


def state(study: TrackedStudy) -> str:
    """The study's metrics, what was run beside them, and the best first."""
    columns = [*(f"metrics.`{name}`" for name in study.columns), *(f"params.`{name}`" for name in PARAMS)]
    return json.dumps({"selectedColumns": columns, "orderByKey": columns[0], "orderByAsc": not study.descending})
