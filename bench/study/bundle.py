"""A study in one file that a sceptic can compute again, without models and without texts.

In it are the study's journal (settings, trials, notes), what every classifier said of every row (outcomes), the rows'
labels and groups, the libraries' versions, the tables as they were, and the SHA-256 of each file. Neither texts nor the
hashes by which the store knows them are there; the journal names the data file and its rows as the search did.
"""

import hashlib
import json
import math
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.cost import ModelCost
from bench.datasets.dataset import Dataset, Provenance, Split
from bench.errors import BenchError, in_words, unreadable
from bench.evaluation.ask import Ask
from bench.evaluation.cache import EvaluationCache
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.features import Features
from bench.evaluation.inputs import stored
from bench.evaluation.outcome import Outcome
from bench.evaluation.rows import SplitRows, sides
from bench.evaluation.rows import keep as keep_rows
from bench.evaluation.rows import read as read_rows
from bench.evaluation.scoring import Scorer
from bench.files import atomic
from bench.metrics import finite
from bench.progress import SILENT
from bench.space.candidates import Shape, Shapes
from bench.study.baselines import all_costs, outdated, scored_records
from bench.study.cascades import chosen
from bench.study.confirm import Confirmation
from bench.study.journal import Journal, studies_folder
from bench.study.logbook import environment
from bench.study.reopen import searched
from bench.study.rescoring import rescore
from bench.study.result import cascades_json, entry_json
from bench.study.run import kept_costs
from bench.study.selection import anew, entrants
from bench.study.settings import SearchRequest
from bench.study.study import Study

FORMAT = 1
ABOUT, TABLES, STORE = "bundle.json", "tables.json", "store"
TOLERANCE = 1e-9
"""Relative: sums of another processor may part in their last digits."""
DAMAGED = (zipfile.BadZipFile, zlib.error, RuntimeError, LookupError, ValueError, TypeError, AttributeError)
"""What comes of a file that is no bundle, or not a whole one, or made by hand."""
PLACES = {"run_id"}
"""What says where something lies, and nothing of what it is."""


@dataclass(frozen=True)
class Recomputed:
    """A bundle, computed again.

    Attributes:
        study: Its name.
        numbers: How many values of the tables were compared.
        outcomes: From how many outcomes they were computed.
        differences: What differs, a line each.
    """

    study: str
    numbers: int
    outcomes: int
    differences: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "study": self.study,
            "numbers": self.numbers,
            "outcomes": self.outcomes,
            "differences": list(self.differences),
        }


@dataclass(frozen=True)
class _Noted(EvaluationCache):
    """A cache that notes which outcomes were asked of it."""

    read: dict[str, tuple[Ask, Outcome]] = field(default_factory=dict)

    def get(self, ask: Ask) -> Outcome | None:
        found = super().get(ask)
        if found is not None:
            self.read[ask.fingerprint()] = (ask, found)
        return found

    def put(self, ask: Ask, outcome: Outcome) -> None:
        super().put(ask, outcome)
        self.read[ask.fingerprint()] = (ask, outcome)


def refuse_other(out: Path) -> None:
    """Raise BenchError where `out` is something else than an earlier bundle: a slip of the hand costs no file."""
    if out.exists() and not _is_bundle(out):
        raise BenchError(f"{out} is there already and is no bundle: name another file with `out`.")


def _is_bundle(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as file:
            return ABOUT in file.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def pack(study: Study, out: Path) -> Path:
    """Write a study as one file, in the place of an earlier bundle.

    Raises:
        BenchError: something else is there, or the file cannot be written.
    """
    refuse_other(out)
    evaluator = study.scorer.evaluator
    noted = _Noted(evaluator.cache.home)
    scorer = replace(study.scorer, evaluator=replace(evaluator, cache=noted))
    material, dataset = study.material, study.material.dataset
    tables = _tables(study.journal, study.request, scorer, material.models, study.costs, material.deepest)
    about = {
        "format": FORMAT,
        "study": study.name,
        "versions": environment(),
        "dataset": {
            "name": dataset.name,
            "labels": list(dataset.labels),
            "test_only_labels": list(dataset.test_only_labels),
            "task": dataset.task,
            "fingerprint": dataset.fingerprint,
            "train": dataset.train.fingerprint,
            "test": dataset.test.fingerprint,
            "source": dataset.source.model_dump(mode="json"),
        },
        "models": {
            name: {"shelf": material.shelves[name], "shape": _shape(model), "deepest": material.deepest[name]}
            | ({"view": material.views[name]} if name in material.views else {})
            for name, model in material.models.items()
        },
        "identities": material.identities,
    }
    journal = studies_folder(study.home or Path()) / f"{study.name}.journal"
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / STORE
        for ask, outcome in noted.read.values():
            EvaluationCache(store).put(ask, outcome)
        for side in sides(dataset):
            keep_rows(store, dataset.name, _nameless(side))
        contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in _files(Path(folder))}
    contents |= {
        f"{studies_folder(Path()).name}/{study.name}.journal": journal.read_bytes(),
        TABLES: json.dumps(tables, indent=1).encode(),
    }
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    contents[ABOUT] = json.dumps(about | {"files": digests}, indent=1, default=str).encode()
    try:
        with atomic(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
            for name in sorted(contents, reverse=True):
                # without the time: a file is told by what is in it
                file.writestr(zipfile.ZipInfo(name), contents[name], zipfile.ZIP_DEFLATED)
    except OSError as error:
        raise BenchError(f"{out} cannot be written: {error.strerror}. Name another file with `out`.") from error
    return out


def verify(path: Path) -> Recomputed:
    """Compute every table of a bundle again from its outcomes, and name what differs.

    Raises:
        BenchError: it is no bundle, or none that this bench can read.
    """
    try:
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as file:
            about = json.loads(file.read(ABOUT))
            if about["format"] != FORMAT:
                raise BenchError(f"{path} is a bundle of format {about['format']}, and this bench reads {FORMAT}.")
            file.extractall(folder)
            return _verified(Path(folder), about)
    except OSError as error:
        raise unreadable(path, error) from error
    except DAMAGED as error:
        raise BenchError(
            f"{path} is no bundle of a study, or a damaged one: {in_words(error)}. Make it again."
        ) from error


def _verified(folder: Path, about: Mapping[str, Any]) -> Recomputed:
    there = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    wrong = [f"{name}: not in the bundle" for name in about["files"] if name not in there]
    wrong += [f"{name}: not listed in {ABOUT}" for name in there if name not in {*about["files"], ABOUT}]
    wrong += [
        f"{name}: altered since the bundle was made"
        for name, digest in about["files"].items()
        if name in there and hashlib.sha256(there[name].read_bytes()).hexdigest() != digest
    ]
    try:
        numbers, outcomes, differences = _computed(folder, about)
    except (BenchError, OSError, *DAMAGED) as error:
        # where the bundle lies unpacked says nothing to anybody
        words = in_words(error).replace(f"{folder}/", "").replace(str(folder), "the bundle")
        return Recomputed(about["study"], 0, 0, (*wrong, f"{TABLES}: cannot be computed again: {words}"))
    return Recomputed(about["study"], numbers, outcomes, (*wrong, *differences))


def _computed(folder: Path, about: Mapping[str, Any]) -> tuple[int, int, list[str]]:
    """How many values were computed again, from how many outcomes, and what differs."""
    journal, request = searched(folder, about["study"])
    names, data, models = about["dataset"], _dataset(folder / STORE, about["dataset"]), about["models"]
    noted = _Noted(folder / STORE)
    train, test = (read_rows(folder / STORE, names[side]) for side in ("train", "test"))
    evaluator = Evaluator(train, test, Features({}, {}, _nothing), noted)
    views = {name: model["view"] for name, model in models.items() if "view" in model}
    locate = stored({name: model["shelf"] for name, model in models.items()}, views)
    scorer = Scorer(data, request.protocol, evaluator, locate)
    shapes = {
        name: Shape(**model["shape"] | {"poolings": tuple(model["shape"]["poolings"])})
        for name, model in models.items()
    }
    deepest = {name: model["deepest"] for name, model in models.items()}
    rescore(journal, scorer, request.space.objectives, SILENT)
    told = json.loads((folder / TABLES).read_bytes())
    if since := outdated(journal) & told["searched"].keys():
        raise BenchError(
            f"{', '.join(sorted(since))} is fitted otherwise since the bundle was made: verify it with the bench of "
            f"then, {about['versions']['bench']}"
        )
    found = _tables(journal, request, scorer, shapes, kept_costs(journal), deepest)
    differences = [*_differences("", told, found), *_unlike(journal, found["searched"])]
    return sum(1 for _ in _leaves(told)), len(noted.read), differences


def _tables(
    journal: Journal,
    request: SearchRequest,
    scorer: Scorer,
    shapes: Shapes,
    costs: Mapping[str, ModelCost],
    deepest: Mapping[str, int],
) -> dict[str, Any]:
    """What of a study follows from outcomes, as JSON values; `searched` is what trials and others score out of fold."""
    objectives = request.space.objectives
    confirmation = Confirmation(scorer, shapes, all_costs(journal, costs), objectives, SILENT, deepest)
    found = confirmation.run(journal)
    made = chosen(journal)
    tables: dict[str, Any] = {
        "front": {entry.name: entry_json(entry) for entry in found.front},
        "baselines": {entry.name: entry_json(entry) for entry in found.baselines},
        "cascades": {} if made is None else cascades_json(made, found.cascades),
        "searched": {
            each.name: finite(each.scored().metrics(objectives.measures))
            for each in entrants(journal, scorer, objectives)
        },
        "selection": anew(journal, scorer, objectives).to_json(),
    }
    placeless: dict[str, Any] = json.loads(json.dumps(tables), object_hook=_placeless)
    return placeless


def _unlike(journal: Journal, searched: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Where the journal has other search scores than its outcomes give: fronts are drawn by the journal's."""
    made = chosen(journal)
    for record in (*scored_records(journal), *(() if made is None else made.records)):
        found = searched[str(record.id)]
        told = {name: value for name, value in record.metrics.items() if name in found}
        yield from _differences(f"journal.{record.title}", told, {name: found[name] for name in told})


def _placeless(value: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in value.items() if name not in PLACES}


def _dataset(store: Path, about: Mapping[str, Any]) -> Dataset:
    """The rows of a bundle: labels and groups, and no text."""
    names = (*about["labels"], *about["test_only_labels"])

    def split(side: str) -> Split:
        rows = read_rows(store, about[side])
        return Split(rows.ids, ("",) * len(rows), rows.labels_in(names, about["task"]), rows.groups, rows.fingerprint)

    source = Provenance.model_validate(about["source"])
    return Dataset(
        about["name"],
        source,
        tuple(about["labels"]),
        tuple(about["test_only_labels"]),
        split("train"),
        split("test"),
        (),
        about["task"],
    )


def _nameless(side: SplitRows) -> SplitRows:
    """Rows without what they are called, and without what stands for their texts."""
    count = len(side)
    return replace(side, views={}, keys=(bytes(16),) * count, ids=tuple(map(str, range(count))))


def _nothing(_: str) -> Any:
    raise BenchError("the bundle lacks an outcome")


def _shape(model: Any) -> dict[str, Any]:
    return {"layers": model.layers, "width": model.width, "poolings": list(model.poolings)}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _differences(place: str, told: Any, found: Any) -> Iterator[str]:
    """What differs between JSON values, with its place."""
    if isinstance(told, dict) and isinstance(found, dict):
        for name in dict.fromkeys([*told, *found]):
            yield from _differences(f"{place}.{name}".lstrip("."), told.get(name), found.get(name))
    elif isinstance(told, list) and isinstance(found, list) and len(told) == len(found):
        for number, pair in enumerate(zip(told, found, strict=True)):
            yield from _differences(f"{place}[{number}]", *pair)
    elif not _same(told, found):
        yield f"{place}: {told} in the bundle, {found} computed"


def _same(told: Any, found: Any) -> bool:
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (told, found))
    return math.isclose(told, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE) if numbers else told == found


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _leaves(each)
    else:
        yield value
