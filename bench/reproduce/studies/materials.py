"""Which data sets and models there are, and how large they are (table 1)."""

from collections.abc import Iterator, Sequence

from bench.models.checkpoint import parameters
from bench.models.resolve import ResolvedModel
from bench.models.rows import MODELS, ModelRow
from bench.reproduce.columns import Column, Kind, Row
from bench.reproduce.layout import Cell, Over, TableLine, laid_out
from bench.reproduce.published import caption, printed
from bench.reproduce.setup import Setup
from bench.reproduce.study import Findings, Steps, study

MILLION, BILLION = 1e6, 1e9


@study(
    "materials",
    order=9,
    paper="table 1",
    aliases=("table1",),
    baselines=False,
    states=False,
    intervals="none: nothing is estimated",
    columns=(
        Column("name", "name"),
        Column("type", "type"),
        Column("classes", "classes", Kind.COUNT),
        Column("train", "train", Kind.COUNT),
        Column("test", "test", Kind.COUNT),
        Column("layers", "layers", Kind.COUNT),
        Column("width", "width", Kind.COUNT),
        Column("parameters_m", "million\nvalues", Kind.NUMBER),
    ),
)
def materials(setup: Setup) -> Steps:
    """The data set's classes and rows, and every model's type, width, layers and parameters; nothing is trained."""
    yield ()
    dataset = setup.dataset
    stats = dataset.stats
    theirs = printed("table1", dataset=dataset.name)
    rows: list[Row] = [
        {
            "kind": "dataset",
            "name": dataset.name,
            "type": "data set",
            "classes": stats.classes,
            "train": stats.train,
            "test": stats.test,
            **{f"published_{name}": each[name] for each in theirs for name in ("classes", "train", "test")},
        }
    ]
    for name, model in setup.models.items():
        rows.append({"kind": "model", "name": name, "model": name, **_sizes(model, model.row), **_published(name)})
    absent = {model.name: MODELS.get(model.name) for model in setup.absent}
    return Findings(
        rows,
        beside={
            name: {"name": name, **({} if row is None else _of_row(row)), **_published(name)}
            for name, row in absent.items()
        },
        published=[*theirs, *(row for row in printed("table1") if "model" in row)],
        caption=caption("table1"),
        notes=_notes(rows[0]),
    )


def _sizes(model: ResolvedModel, row: ModelRow | None) -> Row:
    """What its files say, and of what type it is where that is known."""
    return {
        "type": None if row is None else row.kind,
        "layers": model.layers,
        "width": model.width,
        "parameters_m": (parameters(model.folder) if row is None else row.parameters) / MILLION,
    }


def _of_row(row: ModelRow) -> Row:
    return {"type": row.kind, "layers": row.layers, "width": row.width, "parameters_m": row.parameters / MILLION}


def _published(name: str) -> Row:
    """The paper's numbers of a model."""
    return {
        key: value
        for each in printed("table1", model=name)
        for key, value in {
            "published_layers": each["layers"],
            "published_width": each["width"],
            "published_parameters_m": each["parameters"] * BILLION / MILLION,
        }.items()
    }


def _notes(row: Row) -> list[str]:
    """Where the data set is not the paper's."""
    names = ("classes", "train", "test")
    if "published_train" not in row or all(row[name] == row[f"published_{name}"] for name in names):
        return []
    ours, theirs = ([f"{row[start + name]:,}" for name in names] for start in ("", "published_"))
    words = f"{ours[0]} classes, {ours[1]} training and {ours[2]} test rows here"
    return [f"{row['name']} has {words}, and {', '.join(theirs)} in the paper; `max_train` and `max_test` bound rows."]


@laid_out(materials, "table1-datasets", about=(), columns=("classes", "train", "test"), over=Over.LINES)
def datasets(rows: Sequence[Row]) -> Iterator[TableLine]:
    """The table's upper section: a line a data set."""
    for row in rows:
        if row["kind"] == "dataset":
            yield TableLine((), tuple(Cell(f"{row[name]:,}") for name in ("classes", "train", "test")))


@laid_out(materials, "table1-models", about=("type", "model"), columns=("dim", "layers", "parameters"), over=Over.ONCE)
def models(rows: Sequence[Row]) -> Iterator[TableLine]:
    """The table's lower section: a line a model, whatever the data set; parameters in billions."""
    for row in sorted((row for row in rows if "width" in row), key=lambda row: row["type"] != "generative"):
        counted = Cell(f"{row['parameters_m'] * MILLION / BILLION:.3g}B")
        yield TableLine((row["type"] or "–", row["name"]), (Cell(str(row["width"])), Cell(str(row["layers"])), counted))
