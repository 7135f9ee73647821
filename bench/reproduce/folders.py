"""Models that were given as folders: what is shown of them is the folder's own name, and not where it lies."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.figures import Figure
from bench.models.resolve import ResolvedModel
from bench.reproduce.study import Findings
from bench.views import parted


def own_names(models: Iterable[ResolvedModel]) -> dict[str, str]:
    """Model → what it is called where it is shown: a folder's own name, with a number where that is another's too."""
    found: dict[str, str] = {}
    folders: dict[str, str] = {}
    for model in models:
        base, form = parted(model.name)
        if base not in folders:
            path = Path(base).expanduser()
            name = given = path.resolve().name if model.row is None and path.is_dir() else base
            number = 1
            while name in folders.values():
                number += 1
                name = f"{given}-{number}"
            folders[base] = name
        found[model.name] = folders[base] if form is None else f"{folders[base]}:{form}"
    return found


def with_names(findings: Findings, names: Mapping[str, str]) -> Findings:
    """The same findings, figures included, with other names of models in all that is shown."""
    others = sorted((name for name, own in names.items() if own != name), key=len, reverse=True)
    if not others:
        return findings
    # the longest first: one folder may lie in another
    pattern = re.compile(rf"(?<![\w./])(?:{'|'.join(map(re.escape, others))})(?![\w/])")

    def renamed(value: Any) -> Any:
        if isinstance(value, str):
            return pattern.sub(lambda match: names[match[0]], value)
        if isinstance(value, Mapping):
            return {renamed(key): renamed(each) for key, each in value.items()}
        return type(value)(map(renamed, value)) if isinstance(value, list | tuple) else value

    def drawn(figure: Figure) -> Figure:
        import altair as alt

        chart = alt.Chart.from_dict(renamed(figure.chart.to_dict()))
        words = {name: renamed(getattr(figure, name)) for name in ("title", "subtitle", "caption")}
        return replace(figure, chart=chart, **words)

    return replace(
        findings,
        rows=[renamed(row) for row in findings.rows],
        beside=renamed(dict(findings.beside)),
        extras=renamed(dict(findings.extras)),
        figures=[drawn(figure) for figure in findings.figures],
        notes=[renamed(note) for note in findings.notes],
    )
