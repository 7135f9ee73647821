"""The sentences that say what to do with a study: every place that says it has them from here.

Each sentence stands on numbers that are in the tables as well. What is recommended was chosen without the test set:
what is said of the test set is a check of that choice, and not another one.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.evaluation.scoring import Scored, Scorer
from bench.home import RUNS
from bench.measures import LATENCY, MEASURES, Measure, Objective
from bench.metrics import Interval
from bench.space.objectives import Objectives
from bench.specs import Candidate, TextCandidate
from bench.study.cascades import Selected
from bench.study.confirm import Entry
from bench.study.decision import Decision, Sentence
from bench.study.growth import LearningCurve, learning_curve
from bench.study.selection import Recommendation, titled

MOST_ROWS = 100_000
"""What takes more test rows than this to be told apart is, for all that anybody will label, the same."""
POINT = 0.01
OUTSIDE = "predictions from outside"
MAJORITY = "majority"
DRAWS = 2000


@dataclass(frozen=True, eq=False)
class _Side:
    """What is talked about: how it is called, what it is, what it costs, and what the test set says of it."""

    title: str
    what: str
    latency: float | None
    confirmed: Scored

    @classmethod
    def of(cls, entry: Entry) -> "_Side":
        title = titled(entry.name if entry.trial is None or entry.cascade is not None else str(entry.trial))
        return cls(title, _what(entry), entry.latency_ms, entry.confirmed)


@dataclass(frozen=True, eq=False)
class Deciding:
    """Makes the words of a study.

    Attributes:
        study: Its name.
        choice: What was chosen.
        entries: All that was confirmed, baselines too.
        scorer: Of the study.
        objectives: Of the study.
        find: From a name of the choice to what was scored.
        home: Where the study lies, for the commands.
        device: What computed.
    """

    study: str
    choice: Recommendation
    entries: Sequence[Entry]
    scorer: Scorer
    objectives: Objectives
    find: Callable[[str], Selected]
    home: Path | None
    device: str

    def run(self) -> Decision:
        """The words."""
        name = self.choice.recommended
        best, taken = self._side(self.choice.winner), self._side(name)
        lines = [
            Sentence("Ship", f"{taken.title}: {taken.what}."),
            Sentence("Why", self._why(taken, best)),
            Sentence("Cost", self._cost(taken, best)),
            Sentence("Test", self._scores(taken)),
            *self._free(taken),
            *self._single(name, taken),
            *self._open(taken, best),
            *self._labels(name),
        ]
        return Decision(name, tuple(lines), tuple(self._commands(name)))

    @property
    def _score(self) -> Measure:
        return self.objectives.score.measure

    @property
    def _rows(self) -> int:
        return len(self.scorer.dataset.test)

    def _side(self, name: str) -> _Side:
        for entry in self.entries:
            if name in (str(entry.trial), entry.name):
                return _Side.of(entry)
        record = self.find(name)
        assert isinstance(record.subject, Candidate)  # every cascade is confirmed
        confirmed = self.scorer.scored(record.subject, "confirm")
        return _Side(record.title, _candidate(record.subject), record.metrics.get(LATENCY.name), confirmed)

    def _why(self, taken: _Side, best: _Side) -> str:
        choice, by = self.choice, self.objectives.single
        words = (
            f"Of {choice.candidates} candidates that were scored to the end, {best.title} has the best {_in_words(by)}"
        )
        if choice.candidates == 1:
            return "It is the only candidate that was scored to the end."
        if len(choice.near) == 1:
            words += ", by more than chance would explain."
        elif taken.title == best.title:
            words += (
                f". Of the {len(choice.near)} that cannot be told apart (by one standard error) it is the cheapest."
            )
        else:
            words += (
                f". {_others(len(choice.near) - 1)} cannot be told apart from it (by one standard error), and "
                f"{taken.title} is the cheapest of these."
            )
        return words + self._worth(best)

    def _worth(self, best: _Side) -> str:
        """How often it is the best, and what is left of its score once it was chosen."""
        choice = self.choice
        wins = f"{choice.wins.get(choice.winner, 0):.0%}"
        words = f" Were the {choice.rows} training rows drawn again, {best.title} would be the best in {wins} of draws"
        if (found := choice.winning.get(self._score.name)) is None:
            return f"{words}."
        return (
            f"{words}: chosen as the best of {choice.candidates}, its {self._score.title} of {found.seen:.3f} is worth "
            f"{found.value:.3f}."
        )

    def _cost(self, taken: _Side, best: _Side) -> str:
        if taken.latency is None:
            return "No language model runs."
        words = f"{taken.latency:.2f} ms a text on this machine ({self.device}), in batches"
        if taken.what == OUTSIDE:
            words = f"{taken.latency:.2f} ms a text, as its file says"
        if taken.title == best.title or not best.latency or not taken.latency:
            return f"{words}."
        return f"{words}. {_begun(best.title)} takes {best.latency:.2f}, {self._times(taken, best)}."

    @staticmethod
    def _times(taken: _Side, best: _Side) -> str:
        times = (best.latency or math.nan) / (taken.latency or math.nan)
        return f"{times:.2g} times as long" if times < 100 else f"{times:,.0f} times as long"

    def _scores(self, side: _Side) -> str:
        shown = []
        for measure in (self._score, *self.objectives.beside):
            found = measure.interval(side.confirmed.predictions, self.scorer.protocol.seed)
            shown.append(f"{measure.title} {found.value:.3f} (95% {found.low:.3f} to {found.high:.3f})")
        seen = "by which it was chosen" if self.scorer.protocol.name == "paper" else "which the search never saw"
        return f"On the {self._rows} test rows, {seen}: {' and '.join(shown)}."

    def _free(self, taken: _Side) -> Iterator[Sentence]:
        """Against the best baseline that runs no language model, by its search score too."""
        by = self.objectives.single
        known = [
            entry
            for entry in self.entries
            if entry.candidate is None
            and entry.cascade is None
            and not entry.outside
            and entry.name not in (taken.title, MAJORITY)
            and not math.isnan(entry.value(by))
        ]
        if not known:
            return
        free = max(known, key=lambda entry: by.sign * entry.value(by))
        found = self._difference(taken.confirmed, free.confirmed)
        scores = " and ".join(
            f"{each.title} {free.confirmed.summary(each).mean:.3f}" for each in (self._score, *self.objectives.beside)
        )
        ahead = self._score.sign * found.value
        if _open(found):
            verdict = "these rows do not show that a language model pays"
        else:
            verdict = "a language model pays" if ahead > 0 else f"ship {free.name} instead"
        words = f"{free.name} needs no language model, and has {scores} on the test rows."
        yield Sentence("Baseline", f"{words} {self._ahead(taken.title, found)}: {verdict}.")

    def _ahead(self, title: str, found: Interval) -> str:
        """How far what is called so is ahead of what it is compared with."""
        if not found.value:
            return f"{_begun(title)} is no better than it"
        return f"{_begun(title)} is {'ahead' if self._score.sign * found.value > 0 else 'behind'}, {_interval(found)}"

    def _single(self, name: str, taken: _Side) -> Iterator[Sentence]:
        """Whether more than one representation pays: the verdict beside all that may be the best of one model."""
        entry = next((each for each in self.entries if name in (str(each.trial), each.name)), None)
        if entry is None or (found := entry.comparison) is None:
            return
        many = len(found.singles)
        verb = {"better": "beats", "worse": "is worse than", "open": "is not shown to beat"}[found.verdict]
        these = "the best candidate of one model" + f", whichever of {many} that is" * (many > 1)
        beside = " and ".join(
            f"{MEASURES[each.measure].title} {each.value:+.3f} (95% {each.low:+.3f} to {each.high:+.3f}) beside "
            f"{titled(each.against.removeprefix('trial-'))}"
            for each in found.by_measure
        )
        yield Sentence("One model", f"{_begun(taken.title)} {verb} {these}: {beside}.")

    def _open(self, taken: _Side, best: _Side) -> Iterator[Sentence]:
        """How many test rows would settle whether the dearer best is better."""
        if taken.title == best.title:
            return
        found = self._difference(best.confirmed, taken.confirmed)
        question = f"Is {best.title} better than {taken.title}"
        if taken.latency and best.latency:
            question += f", for which it takes {self._times(taken, best)}"
        if not _open(found):
            answer = "Yes" if self._score.sign * found.value > 0 else "No"
            yield Sentence("Settled", f"{question}? {answer}, on the test rows: {_interval(found)}.")
            return
        test = self._score.paired(best.confirmed.predictions, taken.confirmed.predictions, draws=DRAWS)
        wanted = needed(self._rows, found.value, test.resolvable)
        yield Sentence("Open", f"{question}? The {self._rows} test rows cannot say: {_interval(found)}. {wanted}")

    def _labels(self, name: str) -> Iterator[Sentence]:
        record = self.find(name)
        if (found := learning_curve(self.scorer, record, self._score)) is not None:
            yield Sentence("Labels", in_words(found, self._score))

    def _difference(self, a: Scored, b: Scored) -> Interval:
        seeds = min(len(a.repetitions), len(b.repetitions))
        return self._score.difference(a.predictions[:seeds], b.predictions[:seeds], seed=self.scorer.protocol.seed)

    def _commands(self, name: str) -> Iterator[tuple[str, ...]]:
        home = () if self.home in (None, RUNS) else ("--home", str(self.home))
        if getattr(self.find(name).subject, "outside", None) is None:
            yield ("bench", "export", self.study, "--out", "classifier", *home)
        if name != self.choice.winner:
            yield ("bench", "compare", f"{self.study}:{name}", f"{self.study}:{self.choice.winner}", *home)


def needed(rows: int, difference: float, resolvable: float) -> str:
    """How many test rows would show a difference, of which so many have shown what they can resolve.

    Standard errors fall with the square root of the rows.
    """
    if not difference or math.isnan(resolvable):
        return "They say the same of every one."
    wanted = rows * (resolvable / difference) ** 2
    if wanted > MOST_ROWS:
        return f"To show one this small would take more than {MOST_ROWS:,}: they are as good as each other."
    return f"If the difference is what it looks like, about {_round(wanted):,} would show it (80% power)."


def in_words(curve: LearningCurve, measure: Measure) -> str:
    """What a learning curve says."""
    points = (
        f"Trained on {curve.few} labels its {measure.title} is {curve.low:.3f} out of fold, on {curve.many} "
        f"{curve.high:.3f}: {_interval(curve.gain)}"
    )
    if not curve.rises or not curve.high < 1:
        return f"{points}. These rows do not show that more labels help."
    double = curve.error(curve.rows) - curve.error(2 * curve.rows)
    further = curve.rows_for(POINT) - curve.rows
    words = f"{points}. If it goes on so, twice the {curve.rows} labels bring about {double:+.3f}"
    if further < MOST_ROWS:
        words += f", and {_round(further):,} more bring {POINT:+.2f}"
    return f"{words}."


def _what(entry: Entry) -> str:
    if entry.cascade is not None:
        record = entry.cascade.record
        stages = [
            titled(str(trial)) if isinstance(stage, TextCandidate) else f"{titled(str(trial))} ({_candidate(stage)})"
            for trial, stage in zip(record.trials, record.cascade.stages, strict=True)
        ]
        going = "".join(
            f"; the {share:.0%} of texts that this is least sure of go on to {stage}"
            for share, stage in zip(record.reached, stages[1:], strict=True)
        )
        return f"first {stages[0]}{going}"
    if entry.outside:
        return OUTSIDE
    return "words alone, no language model" if entry.candidate is None else _candidate(entry.candidate)


def _in_words(by: Objective) -> str:
    how = "" if by.aggregation is None else by.aggregation.words
    return f"{by.measure.title} in its {how}" if how.startswith("worst") else f"{by.measure.title}, {how}"


def _candidate(candidate: Candidate) -> str:
    return f"{candidate}, {candidate.head.kind} head"


def _interval(found: Interval) -> str:
    return f"{found.value:+.3f} (95% {found.low:+.3f} to {found.high:+.3f})"


def _open(found: Interval) -> bool:
    """Whether no difference is among what the rows allow."""
    return found.low <= 0 <= found.high


def _begun(title: str) -> str:
    """A name at the beginning of a sentence."""
    return title[0].upper() + title[1:]


def _others(count: int) -> str:
    return "One other" if count == 1 else f"{count} others"


def _round(value: float) -> int:
    """Two digits, upwards: more would be false precision."""
    unit = int(10 ** max(0, math.floor(math.log10(value)) - 1))
    return math.ceil(value / unit) * unit
