"""A study that was searched, opened again to be looked at and used: nothing in its journal is changed."""

from dataclasses import replace
from pathlib import Path

from bench.backends.resolution import applying
from bench.errors import BenchError
from bench.progress import SILENT, Progress
from bench.store import Store
from bench.study import placing
from bench.study.baselines import all_costs
from bench.study.confirm import Confirmation
from bench.study.journal import Journal, check_name, read
from bench.study.lazy import reduced
from bench.study.named import by_name, choose, left_out
from bench.study.prepared import Prepared, prepare
from bench.study.rescoring import rescore
from bench.study.restore import same_settings
from bench.study.roles import CHOICES
from bench.study.run import as_searched, kept_costs
from bench.study.settings import SearchRequest
from bench.study.study import Study
from bench.study.unlabelled import reader


def reopen(
    home: Path,
    name: str,
    store: Store,
    progress: Progress = SILENT,
    trial: str | None = None,
    *,
    trust_remote_code: bool = False,
    no_texts: bool = False,
) -> Study:
    """Open a searched study: its data is loaded and compared with what was searched, its front is confirmed.

    Everything is read back from the store; what is no longer there is computed again. A `trial` that will be asked for
    (see `Study.choose`) is looked up first, so that a mistyped one costs nothing. That the search was allowed to run a
    model's own code allows nothing here: `trust_remote_code` does, for code that is what was searched. With `no_texts`
    the study keeps texts out of what is made of it, as one does that was searched so.

    Raises:
        BenchError: there is no such study or `trial`, it has no scored trial, or data or models are no longer what was
            searched.
    """
    journal, prepared = prepared_again(
        home, name, store, progress, trial, trust_remote_code=trust_remote_code, no_texts=no_texts
    )
    request, material = reduced(prepared.request, prepared.material, journal)
    costs = kept_costs(journal)
    material.extract(progress)
    scorer = material.scorer(request.protocol, progress)
    rescore(journal, scorer, request.space.objectives, progress)
    confirmation = Confirmation(
        scorer, material.models, all_costs(journal, costs), request.space.objectives, progress, material.deepest
    )
    found = confirmation.run(journal)
    return Study(name, request, journal, material, costs, scorer, *found, home=home).closed(None)


def prepared_again(
    home: Path,
    name: str,
    store: Store,
    progress: Progress = SILENT,
    trial: str | None = None,
    *,
    trust_remote_code: bool = False,
    no_texts: bool = False,
) -> tuple[Journal, Prepared]:
    """The journal of a searched study, and its search as it could begin again; the arguments are those of `reopen`.

    Raises:
        BenchError: as `reopen`.
    """
    journal, request = searched(home, name)
    if journal.chain.unsealed:
        progress.warn(f"The study '{name}' was written without digests: damage to it does not show yet.")
    if (words := left_out(name, journal, request)) is not None:
        progress.warn(words)
    if trial is not None:
        choose(name, journal, request, trial)
    dataset = request.dataset.model_copy(update={"no_texts": no_texts or request.dataset.no_texts})
    extraction = request.extraction.trusting(trust_remote_code)
    request = request.model_copy(update={"dataset": dataset, "extraction": extraction})
    prepared = as_begun(home, journal, request, store, progress)
    same_settings(journal.study, name, prepared.settings, journal.id)
    return journal, prepared


def as_begun(home: Path, journal: Journal, request: SearchRequest, store: Store, progress: Progress) -> Prepared:
    """What a search stands on, as it could begin again: its models, its rows' sides, and the texts without labels.

    Raises:
        BenchError: data or models cannot be had.
    """
    prepared = prepare(
        request, store, progress, recorded=journal.settings["models"], placed=placing.placed(journal.note(placing.NOTE))
    )
    return replace(prepared, material=replace(prepared.material, unlabelled=reader(home)))


def searched(home: Path, name: str) -> tuple[Journal, SearchRequest]:
    """The journal of a study with scored trials, and what was asked of its search; no data is loaded.

    Raises:
        BenchError: there is no such study, or it has no scored trial.
    """
    check_name(name)
    journal = read(home, name)
    kept = journal.note("request")
    if kept is None:
        raise BenchError(f"The study '{name}' was made by an earlier bench: run its search again, which adds to it.")
    if not journal.of("complete"):
        raise BenchError(f"The study '{name}' has no scored trial yet: let its search go on.")
    request = SearchRequest.model_validate(kept)
    lazily = bool(journal.settings.get("lazy"))
    request = request.model_copy(update={"extraction": applying(request.extraction), "lazy": lazily})
    return journal, as_searched(request, name, journal.settings["models"])


def trial_names(home: Path, name: str) -> list[str]:
    """What `choose` takes for a study; no number where there is no such study."""
    try:
        journal = read(home, name)
        return [*CHOICES, *by_name(journal), *(str(record.number) for record in journal.of("complete"))]
    except BenchError:
        return [*CHOICES]
