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
from bench.study.growth import learning_curve
from bench.study.phrases import begun, in_words, interval, is_open, listed, needed, others
from bench.study.selection import Recommendation, titled

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
                f". {others(len(choice.near) - 1)} cannot be told apart from it (by one standard error), and "
                f"{taken.title} is the cheapest of these."
            )
        return words + self._worth(best)

    def _worth(self, best: _Side) -> str:
        """How often it is the best, and what is left of its score once it was chosen."""
        choice = self.choice
        wins = f"{choice.wins.get(choice.winner, 0):.0%}"
        rows = f"{choice.rows} {'test' if self.scorer.protocol.name == 'paper' else 'training'} rows"
        words = f" Were the {rows} drawn again, {best.title} would be the best in {wins} of draws"
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
        return f"{words}. {begun(best.title)} takes {best.latency:.2f}, {self._times(taken, best)}."

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
        return f"On the {self._rows} test rows, {seen}: {listed(shown)}."

    def _free(self, taken: _Side) -> Iterator[Sentence]:
        """Against the best baseline that runs no language model, by its search score too."""
        by = self.objectives.single
        known = [
            entry
            for entry in self.entries
            if not isinstance(entry.candidate, Candidate)
            and entry.cascade is None
            and not entry.outside
            and entry.name not in (taken.title, MAJORITY)
            and not math.isnan(entry.value(by))
        ]
        if not known:
            return
        free = max(known, key=lambda entry: by.sign * entry.value(by))
        found = self._difference(taken.confirmed, free.confirmed)
        measures = (self._score, *self.objectives.beside)
        scores = listed([f"{each.title} {free.confirmed.summary(each).mean:.3f}" for each in measures])
        ahead = self._score.sign * found.value
        if is_open(found):
            verdict = "these rows do not show that a language model pays"
        else:
            verdict = "a language model pays" if ahead > 0 else f"ship {free.name} instead"
        words = f"{free.name} needs no language model, and has {scores} on the test rows."
        wanted = f" {self._needed(taken.confirmed, free.confirmed, found)}" if is_open(found) and found.value else ""
        yield Sentence("Baseline", f"{words} {self._ahead(taken.title, found)}: {verdict}.{wanted}")

    def _ahead(self, title: str, found: Interval) -> str:
        """How far what is called so is ahead of what it is compared with."""
        if not found.value:
            return f"{begun(title)} is no better than it"
        return f"{begun(title)} is {'ahead' if self._score.sign * found.value > 0 else 'behind'}, {interval(found)}"

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
        yield Sentence("One model", f"{begun(taken.title)} {verb} {these}: {beside}.")

    def _open(self, taken: _Side, best: _Side) -> Iterator[Sentence]:
        """How many test rows would settle whether the dearer best is better."""
        if taken.title == best.title:
            return
        found = self._difference(best.confirmed, taken.confirmed)
        question = f"Is {best.title} better than {taken.title}"
        if taken.latency and best.latency:
            question += f", for which it takes {self._times(taken, best)}"
        if not is_open(found):
            answer = "Yes" if self._score.sign * found.value > 0 else "No"
            yield Sentence("Settled", f"{question}? {answer}, on the test rows: {interval(found)}.")
            return
        wanted = self._needed(best.confirmed, taken.confirmed, found)
        yield Sentence("Open", f"{question}? The {self._rows} test rows cannot say: {interval(found)}. {wanted}")

    def _labels(self, name: str) -> Iterator[Sentence]:
        record = self.find(name)
        if (found := learning_curve(self.scorer, record, self._score)) is not None:
            yield Sentence("Labels", in_words(found, self._score))

    def _needed(self, a: Scored, b: Scored, found: Interval) -> str:
        seeds = min(len(a.repetitions), len(b.repetitions))
        test = self._score.paired(a.predictions[:seeds], b.predictions[:seeds], draws=DRAWS)
        return needed(self._rows, found.value, test.resolvable)

    def _difference(self, a: Scored, b: Scored) -> Interval:
        seeds = min(len(a.repetitions), len(b.repetitions))
        return self._score.difference(a.predictions[:seeds], b.predictions[:seeds], seed=self.scorer.protocol.seed)

    def _commands(self, name: str) -> Iterator[tuple[str, ...]]:
        home = () if self.home in (None, RUNS) else ("--home", str(self.home))
        if getattr(self.find(name).subject, "outside", None) is None:
            yield ("bench", "export", self.study, "--out", "classifier", *home)
        if name != self.choice.winner:
            yield ("bench", "compare", f"{self.study}:{name}", f"{self.study}:{self.choice.winner}", *home)


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
    return _candidate(entry.candidate) if isinstance(entry.candidate, Candidate) else "words alone, no language model"


def _in_words(by: Objective) -> str:
    how = "" if by.aggregation is None else by.aggregation.words
    return f"{by.measure.title} in its {how}" if how.startswith("worst") else f"{by.measure.title}, {how}"


def _candidate(candidate: Candidate) -> str:
    return f"{candidate}, {candidate.head.kind} head"
