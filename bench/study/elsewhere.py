"""What a study's candidates cost, as its search measured it or on this machine, and what to take at these costs.

Scores do not depend on where a pipeline runs, and costs do: a study that was searched on a GPU may recommend what is
dear on the processor that will serve it. Models are timed again as a search times them; nothing is extracted, trained
or searched, and nothing is written to the study.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.cost import Costs, ModelCost, TextCost, costs_of, costs_of_cascade, measure, measure_text, text_key
from bench.evaluation.scoring import Scorer
from bench.extraction import first_of
from bench.figures import BLUE, GREY, VERMILION, Figure, data
from bench.files import atomic
from bench.front import pareto
from bench.material import Material
from bench.measures import LATENCY, Objective
from bench.preparation import BUSY
from bench.progress import Progress
from bench.proof import open_model
from bench.space.objectives import Objectives
from bench.specs import TextCandidate
from bench.store import Store
from bench.study.baselines import all_costs, baselines, scored_records
from bench.study.cascades import CascadeRecord, Selected, chosen
from bench.study.journal import Journal
from bench.study.named import left_out
from bench.study.reopen import as_begun, searched
from bench.study.run import kept_costs
from bench.study.selection import kept, titled
from bench.study.settings import SearchRequest


@dataclass(frozen=True)
class CandidateCosts:
    """A candidate at the costs of the search (`before`) and at those that count; `within` the study's limits."""

    name: str
    what: str
    score: float
    before: Mapping[str, float]
    costs: Mapping[str, float]
    point: tuple[float, ...]
    within: bool


@dataclass(frozen=True)
class StudyCosts:
    """The candidates of a study at some costs, the cheapest first; `here` says that they were measured for it.

    Attributes:
        costs: Of models, and of classifiers of texts.
        near: Names of those that cannot be told apart from the best score; None where the search did not say.
        before: The name of what the search recommended.
        given_up: Candidates that were given up at the costs of the search, and are not judged here.
    """

    study: str
    here: bool
    costs: Costs
    candidates: tuple[CandidateCosts, ...]
    objectives: Objectives
    near: tuple[str, ...] | None
    before: str | None
    given_up: int

    @cached_property
    def front(self) -> tuple[str, ...]:
        """Names of the candidates within the limits that no other equals or beats, the cheapest first."""
        able = [each for each in self.candidates if each.within]
        return tuple(able[place].name for place in pareto([each.point for each in able], self.objectives.directions))

    @property
    def recommended(self) -> str | None:
        """The cheapest that cannot be told apart from the best score, at these costs."""
        able = [each.name for each in self.candidates if each.within and each.name in (self.near or ())]
        return able[0] if able else None

    @property
    def figure(self) -> Figure:
        """The front at these costs; what was measured here is drawn with a line from the costs of the search."""
        import altair as alt

        x, y = Objective(LATENCY), self.objectives.score
        kinds = {"recommended": VERMILION, "front": BLUE, "other candidate": GREY}
        rows: list[dict[str, Any]] = [
            {
                "name": titled(each.name),
                "what": each.what,
                "x": each.costs[LATENCY.name],
                "before": each.before[LATENCY.name],
                "y": each.score,
                "kind": "recommended"
                if each.name == self.recommended
                else "front"
                if each.name in self.front
                else "other candidate",
            }
            for each in self.candidates
        ]
        low, high = (pick(row["x"] for row in rows) for pick in (min, max))
        log = low > 0 and high > 10 * low
        across = alt.X("x:Q", title=x.label, scale=alt.Scale(type="log") if log else alt.Scale(zero=False))
        hue = alt.Color(
            "kind:N", legend=alt.Legend(title=None), scale=alt.Scale(domain=[*kinds], range=[*kinds.values()])
        )
        base = alt.Chart(data(rows)).encode(
            x=across,
            y=alt.Y("y:Q", title=y.label, scale=alt.Scale(zero=False)),
            tooltip=[
                alt.Tooltip("name:N", title="candidate"),
                alt.Tooltip("what:N", title="what it is"),
                alt.Tooltip("y:Q", title=y.label, format=f".{y.measure.digits}f"),
                alt.Tooltip("x:Q", title=x.label, format=".4~g"),
                alt.Tooltip("before:Q", title="by the search", format=".4~g"),
            ],
        )
        marked = base.transform_filter(alt.FieldOneOfPredicate("kind", ["recommended", "front"]))
        moved = [base.mark_rule(color=GREY, opacity=0.4).encode(x2="before:Q")] if self.here else []
        points = base.mark_point(filled=True, size=80).encode(color=hue)
        words = marked.mark_text(dy=-11, fontSize=11).encode(text="name:N")
        where = "measured on this machine; lines lead from the costs of the search" if self.here else "of the search"
        return Figure(
            name="costs",
            title=f"The front of {self.study} at costs {'of this machine' if self.here else 'of the search'}",
            subtitle=f"{len(rows)} scored candidates; {x.measure.title} {where}",
            caption=f"Blue: candidates that no other beats at these costs. Recommended: {self.recommended or 'none'}.",
            chart=alt.layer(*moved, points, words).properties(height=380),
            width=720,
        )

    def save(self, out: Path) -> list[Path]:
        """Write the figure into a folder: a page, a PNG and an SVG."""
        out.mkdir(parents=True, exist_ok=True)
        for file, content in self.figure.files().items():
            with atomic(out / file) as temporary:
                temporary.write_bytes(content)
        return [out / file for file in self.figure.files()]

    def to_json(self) -> dict[str, Any]:
        """The costs as JSON values."""
        return {
            "study": self.study,
            "here": self.here,
            "models": {name: cost.model_dump(mode="json") for name, cost in self.costs.items()},
            "candidates": [
                {
                    "name": each.name,
                    "candidate": each.what,
                    self.objectives.score.name: each.score,
                    "searched": dict(each.before),
                    "costs": dict(each.costs),
                    "on_front": each.name in self.front,
                    "within_limits": each.within,
                }
                for each in self.candidates
            ],
            "front": list(self.front),
            "recommended": self.recommended,
            "recommended_by_search": self.before,
            "given_up": self.given_up,
        }


def study_costs(
    home: Path, name: str, store: Store, progress: Progress, *, here: bool = False, trust_remote_code: bool = False
) -> StudyCosts:
    """The candidates of a study at the costs of its search, or `here` at those of this machine.

    Raises:
        BenchError: there is no such study, it has no scored trial, or its data or models cannot be had here.
    """
    journal, request = searched(home, name)
    if (words := left_out(name, journal, request)) is not None:
        progress.warn(words)
    known = all_costs(journal, kept_costs(journal))
    made = chosen(journal)
    resumable = () if made is None else made.resumable
    costs = known
    if here:
        request = request.model_copy(update={"extraction": request.extraction.trusting(trust_remote_code)})
        material = as_begun(home, journal, request, store, progress).material
        costs = _measured(journal, request, material, known, progress)
        resumable = tuple(each for each in resumable if each in material.resumable)
    records: list[Selected] = [*scored_records(journal)]
    records += () if made is None else made.records
    found, objectives = kept(journal), request.space.objectives
    priced = [_priced(record, costs, resumable, request) for record in records]
    return StudyCosts(
        study=name,
        here=here,
        costs=costs,
        candidates=tuple(sorted(priced, key=lambda each: (each.costs[LATENCY.name], -each.score))),
        objectives=objectives,
        near=None if found is None else found.near,
        before=None if found is None else found.recommended,
        given_up=len(journal.of("pruned")),
    )


def _priced(record: Selected, costs: Costs, resumable: tuple[str, ...], request: SearchRequest) -> CandidateCosts:
    objectives = request.space.objectives
    if isinstance(record, CascadeRecord):
        now = costs_of_cascade(costs, record.cascade.stages, record.reached, resumable)
    else:
        now = costs_of(costs, record.candidate)
    metrics = {**record.metrics, **now}
    return CandidateCosts(
        name=str(record.id),
        what=str(record.subject),
        score=metrics[objectives.score.name],
        before={name: record.metrics[name] for name in now},
        costs=now,
        point=objectives.point(metrics),
        within=request.constraints.violation(now) == 0,
    )


def _measured(
    journal: Journal, request: SearchRequest, material: Material, known: Costs, progress: Progress
) -> dict[str, ModelCost | TextCost]:
    """Models and classifiers of texts timed on this machine, one in memory at a time."""
    texts, seed = material.dataset.train.texts, request.protocol.seed
    found: dict[str, ModelCost | TextCost] = {}
    for need in (need for need in material.needs if need.model.name in known):
        name = need.model.name
        progress.say(f"load {name}")
        opened = open_model(need.model, first_of(need.settings), material.store.home, progress)
        try:
            found[name] = cost = measure(opened, texts, seed=seed)
        finally:
            opened.close()
        if cost.busy > BUSY:
            progress.warn(
                f"other programs used {cost.busy:.0%} of the processors when {name} was timed; its "
                "milliseconds are too high."
            )
    made = baselines(journal)
    classifiers = [record.candidate for record in (() if made is None else made.records)]
    scorer: Scorer | None = None
    for candidate in classifiers:
        if isinstance(candidate, TextCandidate) and candidate.outside is not None:
            found[text_key(candidate)] = known[text_key(candidate)]  # as its file says
        elif isinstance(candidate, TextCandidate):
            scorer = scorer or material.scorer(request.protocol, progress)
            fitted = scorer.fitted(candidate, request.protocol.confirm_seeds[0])
            timed = measure_text(candidate.classifier, fitted.logs, fitted.gigabytes, texts, seed)
            found[text_key(candidate)] = timed
    return found
