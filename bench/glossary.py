"""What the words of tables, pages and sentences mean: one word for one thing, in one place."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bench.errors import BenchError, nearest


@dataclass(frozen=True)
class Term:
    """A word with its meaning. `also` are other spellings by which it is found, such as an objective's name in files.

    `see` names terms that say more.
    """

    name: str
    meaning: str
    also: tuple[str, ...] = ()
    see: tuple[str, ...] = ()


_ROWS = (
    Term(
        "candidate",
        "A whole pipeline that could be shipped: one or more sources, how they are fused, and the head on top.",
        see=("source", "operator", "head", "trial"),
    ),
    Term(
        "source",
        "One model, one of its layers and a pooling, written model[layer].pooling: the vector that it makes of a text.",
        see=("layer", "pooling"),
    ),
    Term("layer", "Where in a model a text's hidden states are read: 0 are the embeddings, the last is the deepest."),
    Term(
        "pooling",
        "How the states of a text's tokens become one vector: their mean, the last token's, or the first token's.",
        also=("mean pooling", "last", "first"),
    ),
    Term(
        "operator",
        "How the vectors of several sources become one: concat, sum and so on; 'none' where there is one source.",
        also=("fusion", "fused"),
        see=("late fusion",),
    ),
    Term(
        "head",
        "The small classifier that is trained on the vectors: ridge (solved at once), logistic, mlp (one hidden "
        "layer), centroid (the nearest class's mean) or knn (the nearest rows). The language models themselves are "
        "never trained.",
        also=("ridge", "logistic", "mlp", "centroid", "knn"),
    ),
    Term("study", "One search with all that it tried and found, under a name. The same command goes on with it."),
    Term("space", "What a search may choose from: models, layers, poolings, operators, heads; a file of its own."),
    Term("trial", "A candidate that a search tried, by its number.", see=("tried",)),
    Term(
        "tried",
        "Scored to the end (complete), given up (pruned), or failed because training diverged. Repeats of what was "
        "tried before, and what is over a limit (infeasible), are not tried.",
        also=("complete", "pruned", "failed", "infeasible", "repeats", "scored"),
        see=("pruned early", "trial"),
    ),
    Term(
        "pruned early",
        "Given up before its end: because even the best that could follow would not reach the front (bound), or "
        "because a paired test on the folds so far said that it is worse than another trial (race).",
        also=("bound", "race"),
    ),
    Term(
        "screening",
        "Before any trial, hundreds of representations are scored in closed form, in seconds. It decides what is "
        "tried first, and stands in no table of results.",
        also=("screened", "rung"),
    ),
    Term(
        "repetition",
        "One cross-validation under a seed of its own: every training row is predicted once by a head that has not "
        "seen it.",
        also=("fold", "out of fold", "seed"),
    ),
    Term(
        "worst repetition",
        "The least of a candidate's scores over its repetitions, f1_floor in files. What a search maximises if it is "
        "not told otherwise. It says how far seeds move a score, and nothing of other rows.",
        also=("floor", "worst", "f1_floor", "stability", "f1 floor"),
        see=("interval",),
    ),
    Term(
        "lower end",
        "What a score keeps in 95 of 100 draws of the predicted rows and of a repetition: an interval's lower end.",
        also=("low", "f1_low"),
        see=("interval", "redraw"),
    ),
    Term(
        "mean ± std",
        "Over repetitions (search) or seeds (test): the mean, and the standard deviation with n − 1.",
        also=("mean", "std", "±", "spread"),
    ),
    Term(
        "macro-F1",
        "The mean of the classes' F1, each class counting the same, over the classes that the scored rows or the "
        "predictions hold. A class with four rows counts as much as one with four hundred.",
        also=("f1", "f1_mean"),
        see=("accuracy",),
    ),
    Term(
        "kappa",
        "Of grades: 1 less the mean squared distance of label and prediction, divided by that of rows put together by "
        "chance (Cohen's kappa with quadratic weights).",
        also=("quadratic weighted kappa",),
        see=("MAE",),
    ),
    Term(
        "MAE",
        "The mean absolute error of grades, in steps of their order.",
        also=("mean absolute error",),
        see=("kappa",),
    ),
    Term(
        "hierarchical F1",
        "Of paths: F1 over pairs of a row and a node, where each path counts with its ancestors.",
        also=("hF1",),
        see=("macro-F1",),
    ),
    Term("accuracy", "The share of rows that are right: rare classes hardly count.", also=("acc.",), see=("macro-F1",)),
    Term(
        "ms/text",
        "What a candidate costs: milliseconds a text to extract its hidden states on this machine, in batches, in the "
        "study's own settings. Heads cost next to nothing beside it.",
        also=("latency", "latency_ms", "cost", "its cost", "extract"),
    ),
    Term(
        "front",
        "The candidates that no other beats both in score and in cost: each is the best for some budget.",
        also=("pareto", "dominated"),
        see=("recommended", "knee"),
    ),
    Term(
        "recommended",
        "The cheapest candidate that cannot be told apart from the best: what to take where nothing else decides, "
        "and what `bench export` takes. Of equally cheap ones it is the better, of equal ones the first tried. The "
        "test set has no part in it.",
        also=("ship",),
        see=("told apart", "best"),
    ),
    Term(
        "best",
        "The candidate with the best score of the search, whatever it costs; as a name, that of the front's trials.",
        also=("winner",),
        see=("worth",),
    ),
    Term("cheapest", "The cheap end of the front."),
    Term("knee", "The candidate of the front farthest beyond the line between its two ends, each axis scaled to it."),
    Term(
        "told apart",
        "By more than one standard error of the difference, when training rows are drawn again (whole groups). Who is "
        "within it may as well be the best: take the cheapest of these (Breiman's rule of one standard error).",
        also=("one standard error", "standard error", "near"),
        see=("recommended", "redraw"),
    ),
    Term(
        "redraw",
        "Rows drawn again with replacement, as many as there are: what another sample of the same kind might have "
        "been. Nothing is trained for it, the predictions are there already.",
        also=("draw", "drawn again", "bootstrap", "wins"),
    ),
    Term(
        "worth",
        "What the best score is worth: the best of many is partly luck. The choice is made again on redraws, and each "
        "time scored on the rows left out (bootstrap bias corrected cross-validation, Tsamardinos and others 2018).",
        also=("bbc-cv", "selection", "looks like"),
        see=("redraw",),
    ),
    Term(
        "test set",
        "Rows that the search never sees. What was chosen is trained on all training rows and scored on them.",
        also=("test", "confirmation", "confirmed"),
    ),
    Term(
        "optimistic",
        "Said where candidates were selected on the test set, as the paper did (`protocol='paper'`): such scores are "
        "higher than new texts will bring.",
        also=("protocol",),
    ),
    Term(
        "interval",
        "95%: where the score would lie for other rows of the same kind, in 95 of 100 cases. A difference whose "
        "interval holds 0 is none that these rows can show.",
        also=("95%", "ci95"),
        see=("resolvable",),
    ),
    Term(
        "p",
        "How often a difference as large would come about by chance if there were none. Below 0.05 it is called a "
        "difference; it is the largest over what is to be beaten, corrected for how many are tested (Holm).",
        also=("p vs best single", "p vs single", "p vs singles", "holm", "p value", "significant"),
        see=("verdict",),
    ),
    Term(
        "verdict",
        "better: ahead of each single model that may be the best, in every score of the task. worse: behind one of "
        "them in every score. open: neither is shown. It is of the pipelines as they were trained.",
        also=("better", "worse", "open", "against", "vs singles"),
        see=("best-single", "retrained", "resolvable"),
    ),
    Term(
        "retrained",
        "The difference of two candidates out of fold, with an interval as wide as other training rows would make it "
        "(the corrected resampled t test, Nadeau and Bengio 2003). Folds chose both, so its width counts.",
        also=("other training rows", "nadeau-bengio"),
        see=("verdict",),
    ),
    Term(
        "resolvable",
        "The smallest true difference that these test rows would show in four of five cases (80% power). Four times "
        "the rows halve it. It is of a pair, by one score, at the level that corrections leave.",
        also=("power", "80% power"),
    ),
    Term(
        "labels",
        "What more labels would bring: the candidate trained on half of the rows, and on what the search trained it "
        "on, scored on the same rows; beyond these the error is taken to fall by a power of the number of rows.",
        also=("learning curve",),
    ),
    Term(
        "baseline",
        "What any pipeline has to beat: text baselines without a language model, each model's last layer, the best "
        "candidate of one model, late fusion.",
        also=("tf-idf", "tfidf", "tfidf-logistic", "majority"),
        see=("best-single", "late fusion"),
    ),
    Term(
        "student",
        "A table of words that a candidate on hidden states has taught (bench distill): static vectors of words and "
        "what the candidate says of texts, as one number a word and class. No language model runs when it answers.",
        also=("distilled", "distillation", "teacher"),
        see=("baseline",),
    ),
    Term(
        "best-single",
        "The best candidate of one model by its search score. Others of one model may truly be the best: whoever fuses "
        "several has to beat each that cannot be told apart.",
        also=("best single", "one model", "single", "reference"),
    ),
    Term(
        "late fusion",
        "Heads trained on each model alone, whose probabilities are averaged.",
        also=("late", "late-fusion"),
    ),
    Term(
        "cascade",
        "Candidates in turn: a cheap one answers where it is sure, and only the other texts go on to a dearer one. It "
        "is made of scored candidates without training, and counts for no trial.",
        also=("stage",),
        see=("margin",),
    ),
    Term(
        "margin",
        "How far the likeliest class is ahead of the second. A stage of a cascade answers where its margin is at least "
        "its threshold.",
        also=("threshold", "below margin"),
        see=("cascade",),
    ),
    Term(
        "calibration",
        "Whether a probability means what it says: of texts that are held 0.9 likely, nine in ten should be right. The "
        "expected calibration error is how far the two lie apart, the mean distance from the line of a reliability "
        "diagram. An export divides log-probabilities by a temperature "
        "that was found out of fold, which changes no label (Guo and others 2017).",
        also=(
            "calibrated",
            "temperature",
            "ece",
            "expected calibration error",
            "calibration_error",
            "reliability diagram",
        ),
        see=("rejected",),
    ),
    Term(
        "rejected",
        "Given no label, because the likeliest is less probable than `reject_below` (or because costs of mistakes say "
        "that this is cheaper). The risk-coverage curve has, for each share of texts that is answered, how many of the "
        "answers are right.",
        also=("reject", "reject below", "coverage", "risk-coverage", "answered", "sure", "how sure"),
        see=("calibration", "cost of mistakes"),
    ),
    Term(
        "cost of mistakes",
        "What each answer to a text of each class costs, in a table of your own (`costs`). The answer with the least "
        "expected cost is given, by calibrated probabilities; the mean over rows stands beside the scores.",
        also=("mistakes", "expected cost", "costs"),
        see=("calibration", "rejected"),
    ),
    Term(
        "class weight",
        "How much a training row counts by how frequent its class is: unweighted, sqrt-weighted (by the inverse root "
        "of the frequency), or balanced (all classes count the same). It stands behind a head's name where it is not "
        "that head's own way, which is sqrt-weighted for ridge and unweighted for the others.",
        also=("class_weight", "weighting", "balanced", "sqrt-weighted", "unweighted"),
        see=("head",),
    ),
    Term(
        "suspect",
        "A training row whose label several candidates contradict, in what each said of rows that it was not trained "
        "on: they are confidently of another class (confident learning, Northcutt and others 2021). A question to "
        "whoever labels, and no verdict.",
        also=("suspects", "contradicted", "contradict"),
        see=("margin",),
    ),
    Term(
        "left",
        "The share of texts that a stage of a cascade leaves to the next. 'random' is the same cascade where as many "
        "texts are left, but any: what it is worth to know which.",
        also=("reached", "left on", "random", "random deferral"),
        see=("cascade",),
    ),
    Term(
        "drop",
        "A model or layers that a lazy search left out after few rows, because they cannot matter within a bound.",
        also=("lazy",),
    ),
    Term(
        "group", "Rows that belong together, such as the clauses of a contract: they stay on one side and in one fold."
    ),
)

TERMS: Mapping[str, Term] = {term.name: term for term in _ROWS}
_SPELLED = {spelling.lower(): term for term in _ROWS for spelling in (term.name, *term.also)}


def explain(word: str) -> Term:
    """The term that is spelled so.

    Raises:
        BenchError: there is none; the nearest is named.
    """
    given = " ".join(word.lower().split())
    # cascade-3 and trial 12 are asked for as well, as they stand in tables
    first = re.split(r"[-:\s]", given)[0]
    last = given.rpartition("_")[2]  # weighted_f1_floor
    for spelling in (given, given.replace("_", " "), given.removesuffix("s"), first, last):
        if spelling in _SPELLED:
            return _SPELLED[spelling]
    raise BenchError(f"There is no term '{word}': {nearest(word.lower(), _SPELLED)}")


def spellings() -> list[str]:
    """All that `explain` takes."""
    return sorted(_SPELLED)
