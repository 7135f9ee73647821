"""How firmly the choice stands: what wins when training rows are drawn again, and what cannot be told from the best."""

from dataclasses import dataclass

from bench.study.selection import titled
from bench.study.study import Study

SELDOM = 0.01
"""What wins less often than this is left out, unless it cannot be told apart from the best."""


@dataclass(frozen=True)
class Standing:
    """One that was chosen from; `wins` is the share of draws in which it is the best, `role` what it is then."""

    title: str
    score: float
    cost: float
    wins: float
    near: bool
    role: str


def standings(study: Study) -> list[Standing]:
    """Those that may be the best, the cheapest first."""
    found, objectives = study.selection, study.request.space.objectives
    names = {*found.near, *(name for name, share in found.wins.items() if share >= SELDOM)}
    rows = []
    for name in (each for each in found.entrants if each in names):
        metrics = study.choose(name).metrics
        roles = {found.recommended: "recommended", found.winner: "best"}
        if found.winner == found.recommended:
            roles = {found.winner: "recommended, best"}
        rows.append(
            Standing(
                title=titled(name),
                score=metrics[objectives.single.name],
                cost=metrics[objectives.cost.name],
                wins=found.wins.get(name, 0.0),
                near=name in found.near,
                role=roles.get(name, ""),
            )
        )
    return rows
