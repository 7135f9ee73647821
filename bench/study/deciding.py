"""The sentences that say what to do with a study: every place that says it has them from here.

Each sentence stands on numbers that are in the tables as well. What is recommended was chosen without the test set:
what is said of the test set is a check of that choice, and not another one.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.aliases import in_words as described
from bench.evaluation.scoring import Scored, Scorer
from bench.evaluation.sureness import OUT_OF_FOLD, Sureness, worthwhile
from bench.home import RUNS
from bench.measures import LATENCY, MEASURES, Measure, Objective
from bench.metrics import LEVEL
from bench.space.objectives import Objectives
from bench.specs import Candidate, TextCandidate
from bench.study.cascades import Selected
from bench.study.decision import Decision, Sentence
from bench.study.entry import Entry
from bench.study.growth import learning_curve
from bench.study.phrases import begun, in_words, interval, listed, needed, others
from bench.study.selection import Recommendation, titled
from bench.study.verdicts import Claim, Comparison, judged
from bench.tasks import TASKS

OUTSIDE = "predictions from outside"
MAJORITY = "majority"


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
        sureness: Of the recommended candidate, where it has probabilities.
    """

    study: str
    choice: Recommendation
    entries: Sequence[Entry]
    scorer: Scorer
    objectives: Objectives
    find: Callable[[str], Selected]
    home: Path | None
    device: str
    sureness: Sureness | None = None

    def run(self) -> Decision:
        """The words."""
        name = self.choice.recommended
        best, taken = self._side(self.choice.winner), self._side(name)
        dearer = None if name == self.choice.winner else self._verdict(best, taken)
        lines = [
            Sentence("Ship", f"{taken.title}: {taken.what}."),
            Sentence("Why", self._why(taken, best)),
            Sentence("Cost", self._cost(taken, best)),
            Sentence("Test", self._scores(taken)),
            *self._free(taken),
            *self._single(name, taken),
            *([] if dearer is None else [self._question(taken, best, dearer)]),
            *self._sure(),
            *self._labels(name),
        ]
        better = dearer is not None and dearer.verdict == "better"
        return Decision(name, tuple(lines), tuple(self._commands(name, better=better)))

    @property
    def _score(self) -> Measure:
        return self.objectives.score.measure

    @property
    def _measures(self) -> tuple[Measure, ...]:
        """What is told of everything; a verdict is to hold in each."""
        return self._score, *self.objectives.beside

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
            words += ", by more than one standard error of the difference from any other."
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
            f"{found.value:.3f} (95% {found.low:.3f} to {found.high:.3f})."
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
        for measure in self._measures:
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
            and not entry.taught
            and entry.name not in (taken.title, MAJORITY)
            and not math.isnan(entry.value(by))
        ]
        if not known:
            return
        free = max(known, key=lambda entry: by.sign * entry.value(by))
        found = self._verdict(taken, _Side.of(free))
        scores = listed([f"{each.title} {free.confirmed.summary(each).mean:.3f}" for each in self._measures])
        verdict = {
            "better": "a language model pays",
            "worse": f"ship {free.name} instead",
            "open": "these rows do not show that a language model pays",
        }[found.verdict]
        words = f"{free.name} needs no language model, and has {scores} on the test rows."
        wanted = f" {self._needed(found)}" if found.verdict == "open" and found.difference else ""
        yield Sentence("Baseline", f"{words} {self._ahead(taken.title, found)}: {verdict}.{wanted}")

    def _ahead(self, title: str, found: Comparison) -> str:
        """How far what is called so is ahead of what it is compared with."""
        leads = [measure.sign * each.value for measure, each in zip(self._measures, found.by_measure, strict=True)]
        if not any(leads):
            return f"{begun(title)} is no better than it"
        where = "ahead" if min(leads) >= 0 else "behind" if max(leads) <= 0 else "ahead and behind"
        return f"{begun(title)} is {where}, {self._differences(found)}"

    def _differences(self, found: Comparison) -> str:
        pairs = zip(self._measures, found.by_measure, strict=True)
        return listed([f"{measure.title} {interval(each)}" for measure, each in pairs])

    def _single(self, name: str, taken: _Side) -> Iterator[Sentence]:
        """Whether more than one representation pays: the verdict beside all that may be the best of one model."""
        entry = next((each for each in self.entries if name in (str(each.trial), each.name)), None)
        if entry is None or (found := entry.comparison) is None:
            return
        many = len(found.singles)
        verb = {"better": "beats", "worse": "is worse than", "open": "is not shown to beat"}[found.verdict]
        these = "the best candidate of one model" + f", whichever of {many} that is" * (many > 1)
        beside = " and ".join(
            f"{MEASURES[each.measure].title} {interval(each, each.level)} beside "
            f"{titled(each.against.removeprefix('trial-'))}"
            for each in found.by_measure
        )
        # several were judged, and each interval has its share of the level
        joint = " Together with those of the others these intervals are at 95%."
        shared = joint * any(each.level < LEVEL for each in found.by_measure)
        yield Sentence("One model", f"{begun(taken.title)} {verb} {these}: {beside}.{shared}")

    def _question(self, taken: _Side, best: _Side, found: Comparison) -> Sentence:
        """Whether the dearer best is better, as `found`, or how many test rows would settle it."""
        question = f"Is {best.title} better than {taken.title}"
        if taken.latency and best.latency:
            question += f", for which it takes {self._times(taken, best)}"
        found_words = self._differences(found)
        if found.verdict == "better":
            then = "Where its cost is no obstacle, ship it instead."
            return Sentence("Settled", f"{question}? Yes, on the test rows: {found_words}. {then}")
        if found.verdict == "worse":
            return Sentence("Settled", f"{question}? No, on the test rows: {found_words}.")
        words = f"{question}? The {self._rows} test rows cannot say: {found_words}."
        return Sentence("Open", f"{words} {self._needed(found)}")

    def _sure(self) -> Iterator[Sentence]:
        """What rejecting a part of the texts is worth."""
        found = self.sureness
        if found is None or (chosen := worthwhile(found)) is None:
            return
        tried = "no test row is answered then"
        if chosen.test_accuracy is not None:
            tried = f"on the test set {chosen.test_accuracy:.1%} of {chosen.test_coverage:.0%}"
        yield Sentence(
            "Sure",
            f"To be right about {100 * chosen.wanted:.3g}% of what is answered, answer {chosen.coverage:.0%} of the "
            f"texts and reject those whose label is less than {chosen.probability:.7g} probable "
            f"(`reject_below={chosen.probability:.7g}`; {tried}). Answering all is right about "
            f"{found.accuracy[OUT_OF_FOLD]:.1%} out of fold.",
        )

    def _labels(self, name: str) -> Iterator[Sentence]:
        record = self.find(name)
        if (found := learning_curve(self.scorer, record, self._score)) is not None:
            yield Sentence("Labels", in_words(found, self._score))

    def _needed(self, found: Comparison) -> str:
        """How many test rows would show the difference that was shown least, where there is one."""
        pairs = zip(self._measures, found.by_measure, strict=True)
        measure, least = max(pairs, key=lambda pair: (bool(pair[1].value), pair[1].p))
        return needed(self._rows, least.value, least.resolvable, measure.title)

    def _verdict(self, one: _Side, other: _Side) -> Comparison:
        """One beside the other on the test rows, as `bench compare` judges the two: better or worse in every score."""
        seeds = min(len(each.confirmed.repetitions) for each in (one, other))
        said, against = (each.confirmed.predictions[:seeds] for each in (one, other))
        claims = {one.title: Claim(said, {other.title: against})}
        return judged(claims, self._measures, seed=self.scorer.protocol.seed)[one.title]

    def _commands(self, name: str, *, better: bool) -> Iterator[tuple[str, ...]]:
        """What to type next; `better`: whether the best has shown that it is."""
        trains = not TASKS[self.scorer.dataset.task].ranks
        home = () if self.home in (None, RUNS) else ("--home", str(self.home))
        best = self.choice.winner
        for which, options in {name: (), **({best: ("--trial", best)} if better else {})}.items():
            if trains and getattr(self.find(which).subject, "outside", None) is None:
                yield ("bench", "export", self.study, *options, "--out", "classifier", *home)
        if name != best:
            yield ("bench", "compare", f"{self.study}:{name}", f"{self.study}:{best}", *home)


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
    if isinstance(entry.candidate, TextCandidate) and entry.candidate.teacher is not None:
        return f"a table of words, {described(entry.candidate)}"
    return _candidate(entry.candidate) if isinstance(entry.candidate, Candidate) else "words alone, no language model"


def _in_words(by: Objective) -> str:
    how = "" if by.aggregation is None else by.aggregation.words
    return f"{by.measure.title} in its {how}" if how.startswith("worst") else f"{by.measure.title}, {how}"


def _candidate(candidate: Candidate) -> str:
    return f"{candidate}, {candidate.head.short} head"
