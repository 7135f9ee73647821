"""What every study stands on: a data set, models, and the models' hidden states of its texts in the store."""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.backends.base import AUTO, backend
from bench.backends.opening import check_openable, remarks
from bench.backends.resolution import choose
from bench.backends.settings import ResolvedSettings
from bench.backends.speeds import reason
from bench.datasets.checks import check_folds
from bench.datasets.dataset import Dataset
from bench.datasets.load import load
from bench.errors import BenchError
from bench.evaluation.cache import EvaluationCache
from bench.evaluation.evaluator import Evaluator, Texts
from bench.evaluation.features import Features, Keys
from bench.evaluation.inputs import Input, Stored, stored
from bench.evaluation.protocol import Protocol
from bench.evaluation.rows import keep, sides
from bench.evaluation.scoring import Scorer
from bench.evaluation.teaching import Teaching
from bench.executors.base import RETRIES, Executor, Failure, Place, WorkerDiedError, open_executor
from bench.extraction import Need, all_devices, check_disk, extract, first_of, heal, portions, truncated
from bench.identity import ADOPTED
from bench.models.languages import foreign
from bench.models.resolve import ResolvedModel
from bench.models.selection import Absent, select
from bench.pooling import parts
from bench.progress import SILENT, Progress, Work
from bench.proof import prove, prove_cheap
from bench.specs import Source
from bench.store import Shelf, Store, text_key
from bench.views import View
from bench.wanted import Wanted, need_of, told_apart

if TYPE_CHECKING:
    from torch import Tensor


def none_kept(digest: str) -> Sequence[str]:
    """Raise BenchError: whoever asks has no folder in which texts without labels are kept."""
    raise BenchError(f"The texts without labels {digest} are not at hand here.")


@dataclass(frozen=True, repr=False)
class Material:
    """A data set, the models that take part, and what is still to be extracted of each.

    `unlabelled` gives texts without labels by their digest, for a student that learns on them.
    """

    dataset: Dataset
    models: Mapping[str, ResolvedModel]
    absent: tuple[Absent, ...]
    needs: tuple[Need, ...]
    store: Store
    warnings: tuple[str, ...]
    unlabelled: Callable[[str], Sequence[str]] = none_kept

    def __repr__(self) -> str:
        """What it is of: the data set holds all texts."""
        return f"<Material of {self.dataset.name}: {', '.join(self.models)}>"

    @property
    def settings(self) -> ResolvedSettings:
        """What all models run under; each has a dtype of its own (`Need.settings`)."""
        return self.needs[0].settings

    def settings_of(self, model: str) -> ResolvedSettings:
        """What the model of that name runs under."""
        return next(need.settings for need in self.needs if need.model.name == model)

    @property
    def dtypes(self) -> str:
        """Of the computation, in words: one, or those of the models in their order."""
        found = [need.settings.dtype for need in self.needs]
        return ", ".join(found if len(set(found)) > 1 else found[:1])

    @property
    def adopted(self) -> dict[str, str]:
        """Name → fingerprint of the earlier extraction whose rows were adopted, of those models that have any."""
        return {name: each[ADOPTED] for name, each in self.identities.items() if ADOPTED in each}

    @property
    def tags(self) -> dict[str, str]:
        """What is to be seen on every run that stands on this material."""
        names = ", ".join(f"{name} from {earlier}" for name, earlier in self.adopted.items())
        return {"bench.store.adopted": names} if names else {}

    @property
    def texts(self) -> list[str]:
        """Training texts, then test texts, then those of training rows that came since."""
        return self.dataset.texts

    @property
    def whole(self) -> "Material":
        """The same with all training rows that there are by now (see `Dataset.grown`)."""
        return replace(self, dataset=self.dataset.whole)

    @property
    def identities(self) -> dict[str, dict[str, Any]]:
        """Name → identity of its extraction: weights, tokenizer, dtype, backend, kernels, prompt …."""
        return {need.model.name: dict(need.shelf.identity) for need in self.needs}

    @property
    def resumable(self) -> tuple[str, ...]:
        """The models whose passes can go on from a layer, so that deeper ones cost what is between."""
        return tuple(
            need.model.name for need in self.needs if backend(need.settings.backend).goes_on(need.model, need.settings)
        )

    @property
    def truncated(self) -> dict[str, int]:
        """Name → how many of the texts were longer than the maximum length; they must have been extracted."""
        return {need.model.name: truncated(need, self.texts) for need in self.needs}

    @property
    def deepest(self) -> dict[str, int]:
        """Name → the deepest layer that is extracted of it."""
        return {need.model.name: need.layers[-1] for need in self.needs}

    def within(self, deepest: Mapping[str, int]) -> "Material":
        """Of these models alone, each down to that layer."""
        models = {name: model for name, model in self.models.items() if name in deepest}
        needs = (
            replace(need, layers=tuple(range(deepest[need.model.name] + 1))).of(self.texts)
            for need in self.needs
            if need.model.name in deepest
        )
        return replace(self, models=models, needs=tuple(needs))

    def of_train(self, rows: Sequence[int]) -> "Material":
        """With nothing to extract but these training rows."""
        texts = self.texts

        def some(need: Need) -> Need:
            keys = set(need.keys(texts[row] for row in rows))
            missing = tuple(row for row in need.missing if need.keys([texts[row]])[0] in keys)
            return replace(need, missing=missing, bytes=need.row_bytes * len(missing))

        return replace(self, needs=tuple(map(some, self.needs)))

    def features(self, rows: Sequence[int], progress: Progress = SILENT) -> Features:
        """The matrices of some training rows, which must have been extracted; no other row is read or healed."""
        texts = [self.dataset.train.texts[row] for row in rows]
        keys: dict[str | None, list[bytes]] = {None: list(map(text_key, texts))}
        keys |= {view.fingerprint(): [text_key(view(text)) for text in texts] for view in self.read}
        return self._features(keys, {}, texts, progress)

    def _features(self, train: Keys, test: Keys, texts: Sequence[str], progress: Progress) -> Features:
        """The matrices of the rows with these keys; a damaged file is healed by extracting `texts` again."""
        needs: dict[str, list[Need]] = {}
        for need in self.needs:
            needs.setdefault(need.shelf.fingerprint, []).append(need)

        def mend(shelf: str) -> None:
            for need in needs[shelf]:
                heal(need, texts, progress)

        return Features(train, test, lambda shelf: needs[shelf][0].shelf, mend)

    def extract(self, progress: Progress = SILENT, executor: Executor | None = None) -> None:
        """Fill the store with what is missing; the workers of an `executor` do so, where there is one.

        Raises:
            BenchError: too little disk, or a model cannot be opened or run.
        """
        self.check(progress)
        for need in self.needs:
            self.fill(need, progress, executor)

    def check(self, progress: Progress = SILENT) -> None:
        """Refuse before the first model is extracted what would end the work at the last.

        Raises:
            BenchError: too little disk, or a model's states are not what they should be (see `bench.proof`).
        """
        check_disk(self.needs, self.store)
        todo = [need for need in self.needs if need.missing]
        if len(todo) > 1:
            for need in todo:
                prove([need.model], first_of(need.settings), self.store.home, progress)

    def fill(self, need: Need, progress: Progress = SILENT, executor: Executor | None = None) -> None:
        """Compute and store the rows that `need` misses.

        The workers of an `executor` do so, where there is one; else a process each on all devices that may share them.

        Raises:
            BenchError: the model cannot be opened or run, or a process was killed.
        """
        devices = all_devices(self.settings)
        if not need.missing:
            return
        if executor is None and len(devices) == 1:
            extract(need, self.texts, progress)
            return
        place = Place(self.store.home, tuple(devices))
        with (
            progress.task(f"extract {need.model.name}", len(need.missing), "texts") as task,
            open_executor("processes", place) if executor is None else nullcontext(executor) as workers,
        ):
            self._shared(need, workers, task, progress)

    def _shared(self, need: Need, executor: Executor, task: Work, progress: Progress) -> None:
        """What `need` misses, in portions; one whose worker has died is given to another."""
        waiting, lost = deque(portions(need, self.texts)), Counter[tuple[str, ...]]()
        died: BenchError | None = None
        for portion, found in executor.run(waiting):
            if not isinstance(found, Failure):
                task.advance(len(portion.texts))
            elif not isinstance(found.error, WorkerDiedError):
                raise found.error
            elif lost[portion.texts] < RETRIES:
                lost[portion.texts] += 1
                progress.warn(f"{found.error} What it was to extract is given to another.")
                waiting.append(portion)
            else:
                died = found.error  # the others go on
        if died is not None:
            raise BenchError(
                f"The hidden states of {need.model.name} are not complete. {died} Run the same command again: what is "
                "stored is kept."
            )
        need.shelf.refresh()  # others have written it

    def states(self, texts: Sequence[str], inputs: Sequence[Input], progress: Progress = SILENT) -> "list[Tensor]":
        """Hidden states of texts that are no rows, float32 [texts, width] an input; what is missing is extracted.

        Raises:
            BenchError: a model cannot be opened or run.
        """
        wanted = {(each.shelf, each.view): set[int]() for each in inputs if isinstance(each, Stored)}
        for each in inputs:
            if isinstance(each, Stored):
                wanted[each.shelf, each.view] |= {layer for layer, _ in parts(each.layer, each.pooling)}
        for need in self.needs:
            if layers := wanted.get((need.shelf.fingerprint, self.views.get(need.model.name))):
                some = replace(need, settings=first_of(need.settings), layers=tuple(sorted(layers))).of(texts)
                extract(some, texts, progress)
        keys: dict[str | None, list[bytes]] = {None: list(map(text_key, texts))}
        keys |= {view.fingerprint(): [text_key(view(text)) for text in texts] for view in self.read}
        features = self._features(keys, {}, texts, progress)
        return [features.train(each) for each in inputs]

    def scorer(self, protocol: Protocol, progress: Progress = SILENT) -> Scorer:
        """Scores candidates on this material; `evaluator` answers."""
        return Scorer(self.dataset, protocol, self.evaluator(progress), self.locate)

    @property
    def locate(self) -> Callable[[Source], Stored]:
        """From a source of these models to the matrix that it means."""
        return stored(self.shelves, self.views)

    @property
    def read(self) -> list[View]:
        """The views by which these models read rows, each once; models without one read them as they are."""
        return list(dict.fromkeys(each.view for each in self.models.values() if each.view is not None))

    @property
    def views(self) -> dict[str, str]:
        """Name → fingerprint of its view, of those that have one."""
        return {name: each.view.fingerprint() for name, each in self.models.items() if each.view is not None}

    @property
    def shelves(self) -> dict[str, str]:
        """Name → fingerprint of its extraction."""
        return {need.model.name: need.shelf.fingerprint for need in self.needs}

    def evaluator(self, progress: Progress = SILENT) -> Evaluator:
        """Answers asks about this material, which must have been extracted; damaged files are extracted again.

        From then on the store holds the rows (not their texts), so that asks about them can be answered elsewhere.
        """
        train, test = sides(self.dataset, self.read)
        for side in (train, test):
            keep(self.store.home, self.dataset.name, side)
        features = self._features(train.by_view, test.by_view, self.texts, progress)
        texts = Texts(self.dataset.train.texts, self.dataset.test.texts)
        return Evaluator(train, test, features, EvaluationCache(self.store.home), texts, self.teaching(progress))

    def teaching(self, progress: Progress = SILENT) -> Teaching:
        """What students learn from beside the rows."""
        return Teaching(partial(self.states, progress=progress), self.unlabelled)


def gather(wanted: Wanted, folds: int | None, store: Store, progress: Progress = SILENT) -> Material:
    """Load the data, resolve the models and look up what is stored.

    Weights are loaded only where something is to be found out by running a model, and never in a dry run (see
    `bench.adoption`). `folds` is None where nothing is cross-validated.

    Raises:
        BenchError: data or models cannot be had, or the settings contradict this machine.
    """
    asked = choose(wanted.asked)
    dataset = load(wanted.dataset, download=wanted.download, placed=wanted.placed)
    warnings = (*dataset.warnings, *(check_folds(dataset, folds) if folds else ()))
    for warning in warnings:
        progress.warn(f"{dataset.name}: {warning}")
    selection = select(
        wanted.models,
        asked,
        wanted.scratch or store.home,
        progress,
        named=wanted.named,
        download=wanted.download,
        recorded=wanted.recorded,
        forms=wanted.forms,
        columns=dataset.fields,
        asked=wanted.extracted,
    )
    for warning in (strange := foreign(selection.models, dataset.train.texts)):
        progress.warn(f"{dataset.name}: {warning}")
    settings = choose(asked, selection.models)
    if wanted.settings.backend == AUTO:
        kept = wanted.asked.backend != AUTO
        why = "as the study had it" if kept else reason(settings, selection.models)
        progress.say(f"backend: {settings.backend} on {settings.device}, {why}")
    texts = dataset.texts
    chosen, alike = told_apart(wanted, selection.models, settings, texts, progress)
    needs = tuple(need_of(wanted, model, settings, texts, store, progress) for model in chosen)
    # what holds under all forms of an input is said once
    for said in dict.fromkeys(f"{need.model.base}: {each}" for need in needs for each in remarks(need.model, settings)):
        progress.say(said)
    for need in needs:
        if need.missing:
            check_openable(need.model, need.settings, [texts[row] for row in need.missing])
            if wanted.scratch is not None:
                prove_cheap(need.model, need.settings, store.home, wanted.scratch, progress)
    models = {model.name: model for model in chosen}
    shelves: dict[str, Shelf] = {}  # several views of rows are kept on one: what one adds, another sees
    needs = tuple(replace(need, shelf=shelves.setdefault(need.shelf.fingerprint, need.shelf)) for need in needs)
    absent = (*selection.absent, *alike)
    return Material(dataset, models, absent, needs, store, (*warnings, *strange))
