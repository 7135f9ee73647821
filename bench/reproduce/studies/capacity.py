"""Is it fusion, or width? Controls that have a fusion's width or its information, not both."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from bench.evaluation.scoring import Scored
from bench.figures import Figure
from bench.reproduce import charts
from bench.reproduce.columns import Column, Kind, Row, joined
from bench.reproduce.derived import Derivation
from bench.reproduce.scores import difference_columns, score_columns, single_rows
from bench.reproduce.setup import HEADS, Setup
from bench.reproduce.study import Findings, Steps, study
from bench.specs import Source

ARMS = {
    "fusion": "both models, concatenated",
    "itself": "the first model twice",
    "projection": "the first model and a random projection of itself, as wide as the second",
    "pca": "both models, reduced by PCA to the first one's width",
}
Pair = tuple[str, str]
Key = tuple[Pair, str, str]
"""Two models, an arm, and a head."""


@study(
    "capacity",
    order=11,
    paper="beyond it: whether width is credited as fusion",
    stages=2,
    columns=(
        Column("model", "first + second"),
        Column("head", "head"),
        Column("arm", "arm"),
        Column("width", "width", Kind.COUNT, spare=True),
        Column("f1_mean", "F1", Kind.SCORE, required=True),
        Column("f1_std", "± runs", Kind.SCORE, spare=True),
        Column("delta_f1", "Δ vs first alone", Kind.POINTS),
        Column("delta_f1_low", "95% low", Kind.POINTS),
        Column("delta_f1_high", "high", Kind.POINTS),
        Column("runs", "runs", Kind.COUNT, spare=True),
    ),
)
def capacity(setup: Setup) -> Steps:
    """A model fused with another, with itself, and with a random projection of itself, and PCA to equal width."""
    singles = setup.singles()
    answers = yield singles.values()
    alone = {key: answers[ask] for key, ask in singles.items()}
    asks = {
        (pair, arm, head): setup.test(setup.candidate(_sources(setup, pair, arm), head))
        for couple in combinations(setup.models, 2)
        for head in HEADS
        for pair in [_better_first(couple, head, alone)]
        for arm in ARMS
    }
    answers = yield asks.values()
    scores = {key: answers[ask] for key, ask in asks.items()}
    rows: dict[Key, Row] = {
        (pair, arm, head): {
            "kind": "arm",
            "model": joined(pair),
            "head": head,
            "arm": arm,
            "width": _width(setup, pair, arm),
            **score_columns(scored, setup.dataset),
            **difference_columns(scored, alone[pair[0], head], setup.dataset),
        }
        for (pair, arm, head), scored in scores.items()
    }
    return Findings(
        [*rows.values(), *single_rows(alone, setup.dataset)],
        figures=[_figure(setup, list(rows.values()))] if rows else [],
        notes=_notes(setup, rows, scores),
    )


def _better_first(couple: Pair, head: str, alone: Mapping[Pair, Scored]) -> Pair:
    """A fusion has to beat the better of its two models, so that one is the first."""
    return couple if alone[couple[0], head].f1.mean >= alone[couple[1], head].f1.mean else couple[::-1]


def _sources(setup: Setup, pair: Pair, arm: str) -> list[Source]:
    first, second = map(setup.last, pair)
    width = {model: setup.models[model].width for model in pair}
    if arm == "fusion":
        return [first, second]
    if arm == "itself":
        return [first, first]
    if arm == "projection":
        return [first, setup.derive(Derivation(kind="projection", sources=(first,), width=width[pair[1]], seed=1))]
    return [setup.derive(Derivation(kind="pca", sources=(first, second), width=width[pair[0]]))]


def _width(setup: Setup, pair: Pair, arm: str) -> int:
    first, second = (setup.models[model].width for model in pair)
    return {"fusion": first + second, "itself": 2 * first, "projection": first + second, "pca": first}[arm]


def _figure(setup: Setup, rows: Sequence[Row]) -> Figure:
    chart = charts.intervals(
        [{**row, "of": f"{row['model']}, {row['head']}"} for row in rows],
        x=Column("of", "models (the better one first), head"),
        y=Column("delta_f1", "change of macro-F1 against the first alone (points)", Kind.POINTS),
        bounds=("delta_f1_low", "delta_f1_high"),
        colour=Column("arm", "arm"),
        rules={"no change": 0.0},
    )
    return Figure(
        "capacity",
        f"{setup.dataset.name}: fusion beside controls of its width and of its information",
        charts.subtitle(setup, "Bars: 95% of the paired difference, bootstrap over test texts."),
        "Change of macro-F1 by a second model, by the same model again, by a random projection, and by PCA of both.",
        chart,
    )


def _notes(setup: Setup, rows: Mapping[Key, Row], scores: Mapping[Key, Scored]) -> list[str]:
    if not rows:
        return ["One model alone has nothing to fuse with: name at least two."]
    notes = []
    for (pair, arm, head), row in rows.items():
        if arm != "fusion":
            continue
        control = scores[pair, "projection", head]
        credit = difference_columns(scores[pair, arm, head], control, setup.dataset)
        notes.append(
            f"{joined(pair)}, {head}: of {row['delta_f1']:+.1f} points, {credit['delta_f1']:+.1f} "
            f"(95% {credit['delta_f1_low']:+.1f} to {credit['delta_f1_high']:+.1f}) are beyond a random projection of "
            "the same width."
        )
    return notes + [f"`{arm}`: {what}." for arm, what in ARMS.items()]
