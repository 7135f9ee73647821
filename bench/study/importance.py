"""Which choices of a search mattered for its score, as far as its trials can say."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

from bench.space.objectives import Objectives
from bench.study.journal import Journal

FEWEST_TOP, SHARE_TOP = 5, 0.1
"""How many trials count as the best: a tenth, and at least five (PED-ANOVA's own advice)."""
FEWEST = 2 * FEWEST_TOP


@dataclass(frozen=True)
class Importance:
    """Shares of the choices, which sum to 1, in reaching the `best` of `trials` scored trials by `objective`."""

    objective: str
    shares: Mapping[str, float]
    trials: int
    best: int


def importance(journal: Journal, objectives: Objectives) -> Importance | None:
    """PED-ANOVA (Watanabe and others, IJCAI 2023) over the scored trials, for the first objective.

    None where there are fewer than `FEWEST` scored trials, or nothing was chosen: it would be noise. A choice that
    only some trials had to make (the layer of a model that not each of them uses) is judged among those alone.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    trials = len(journal.of("complete"))
    if trials < FEWEST:
        return None
    best = max(FEWEST_TOP, round(SHARE_TOP * trials))
    sign = -1 if objectives.directions[0] == "maximize" else 1
    with warnings.catch_warnings():
        # it says at each call that it takes lower for better, which the sign sees to, and that it is experimental
        warnings.simplefilter("ignore")
        shares = get_param_importances(
            journal.study,
            evaluator=PedAnovaImportanceEvaluator(target_quantile=best / trials),
            target=lambda trial: sign * trial.values[0],
        )
    if not sum(shares.values()) > 0:
        return None
    return Importance(objectives.names[0], shares, trials, best)
