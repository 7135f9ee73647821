"""A baseline measured anew, beside the one that was there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.gate.baseline import Baseline, describe, read, write
from bench.gate.check import from_study, measured
from bench.gate.judge import judge
from bench.gate.verdict import Verdict
from bench.progress import SILENT, Progress
from bench.study import placing
from bench.study.named import left_out
from bench.study.reopen import searched
from bench.study.settings import differences


@dataclass(frozen=True)
class Update:
    """A new baseline, not written yet; `old` is what `file` holds, and `verdict` judges the new by it, where it is."""

    file: Path
    old: Baseline | None
    new: Baseline
    verdict: Verdict | None

    @property
    def differences(self) -> list[str]:
        """What is checked that was not checked before, and the other way round, a line each."""
        before = {} if self.old is None else {each.fingerprint(): each for each in self.old.pinned.candidates}
        after = {each.fingerprint(): each for each in self.new.pinned.candidates}
        lines = []
        if self.old is not None:
            others = {"candidates", "references"}
            lines += differences(*(each.pinned.model_dump(exclude=others) for each in (self.old, self.new)))
        lines += [f"no longer: {describe(before[key])}" for key in before if key not in after]
        lines += [f"new: {describe(after[key])}" for key in after if key not in before]
        old, new = (() if each is None else each.pinned.references for each in (self.old, self.new))
        lines += [f"no longer, as its predictions are not of these rows: {each}" for each in old if each not in new]
        return lines + [f"new, to stay above: {each}" for each in new if each not in old]

    def write(self) -> None:
        """Put the new baseline into the file, atomically.

        Raises:
            BenchError: a candidate has no scores, because its training diverged.
        """
        write(self.file, self.new)


def update(
    file: Path,
    home: Path,
    store: Path,
    *,
    study: str | None = None,
    trials: Sequence[str] = (),
    subset: tuple[int | None, int | None] = (None, None),
    measure: str | None = None,
    data_home: str | None = None,
    trust_remote_code: bool = False,
    progress: Progress = SILENT,
) -> Update:
    """Measure what the baseline `file` pins, or candidates of a `study` of `home` (see `from_study`).

    Raises:
        BenchError: there is no such baseline, study or trial, or data or models cannot be had or run.
    """
    old = read(file) if study is None or file.exists() else None
    if study is None:
        assert old is not None
        # predictions from outside are of the rows that there were
        pinned = old.pinned.model_copy(update={"references": ()})
        recorded = {name: facts.identity for name, facts in old.models.items()}
        sides = None if old.rows is None else old.rows.sides
    else:
        journal, request = searched(home, study)
        if (words := left_out(study, journal, request)) is not None:
            progress.warn(words)
        pinned, recorded = from_study(home, study, trials, *subset, measure=measure), journal.settings["models"]
        sides = placing.placed(journal.note(placing.NOTE))
    new = measured(
        pinned.at_home(data_home),
        store,
        progress,
        recorded=recorded,
        placed=sides,
        trust_remote_code=trust_remote_code,
    )
    if study is None and old is not None and old.data.train == new.data.train:
        kept = new.pinned.model_copy(update={"references": old.pinned.references})
        new = new.model_copy(update={"pinned": kept, "references": old.references})
    return Update(file, old, new, None if old is None else judge(old, new))
