"""A reproduction from data sets to results: extract, evaluate what studies ask for, write it all down."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.cost import ModelCost
from bench.errors import unreadable
from bench.evaluation.scoring import Scored
from bench.files import write_json
from bench.measures import MEASURES
from bench.metrics import finite
from bench.preparation import Clock, extract_and_measure
from bench.progress import Progress
from bench.reproduce.evaluations import Evaluations
from bench.reproduce.finished import FinishedStudy, indexed, write
from bench.reproduce.folders import own_names, with_names
from bench.reproduce.layout import PAPER_TABLES, laid_out_files
from bench.reproduce.place import held
from bench.reproduce.prepare import PreparedDataset
from bench.reproduce.questions import Question
from bench.reproduce.study import Findings, PaperStudy
from bench.reproduce.writing import files
from bench.specs import Candidate, fingerprint
from bench.study.writing import candidate_params
from bench.tasks import TASKS
from bench.tracking import Record, Tolerant, TrackedStudy, Tracker


def reproduce(
    prepared: Sequence[PreparedDataset], home: Path, tracker: Tracker, progress: Progress
) -> list[FinishedStudy]:
    """Run every study on every data set, then across them. After a kill the same call goes on where it stopped."""
    done: list[FinishedStudy] = []
    tracking = Tolerant(tracker, progress)
    for each in prepared:
        each = _extracted(each, home, progress)
        evaluations = Evaluations(each.material, each.setup, progress)
        done += [_study(study, each, evaluations, home, tracking, progress) for study in each.request.studies]
    if len(prepared) > 1 and not any(TASKS[each.material.dataset.task].ranks for each in prepared):
        done += _across(prepared, done, home, tracking, progress)
    return indexed(done, _folder(prepared, home), _about_all(prepared))


def _folder(prepared: Sequence[PreparedDataset], home: Path) -> Path:
    """Of what is said of all data sets together, or of the only one."""
    root = prepared[0].request.out or home / "reproduce"
    return root / (prepared[0].name() if len(prepared) == 1 else f"across-{_key(prepared)}")


def _key(prepared: Sequence[PreparedDataset]) -> str:
    return fingerprint([each.key() for each in prepared], length=8)


def _about_all(prepared: Sequence[PreparedDataset]) -> dict[str, Any]:
    """What all numbers of a run stand on."""
    first = prepared[0]
    told = describe(first.request.studies[0], first)
    kept = ("models", "missing models", "seeds on the test set", "heads", "backend", "device", "dtype", "max_length")
    rows = ", ".join(
        f"{each.material.dataset.name} {len(each.material.dataset.train):,} + {len(each.material.dataset.test):,}"
        for each in prepared
    )
    told |= {"models": _listed([*own_names(first.material.models.values()).values()])}
    return {"training and test rows": rows, **{name: told[name] for name in kept}}


def _extracted(prepared: PreparedDataset, home: Path, progress: Progress) -> PreparedDataset:
    """The same with its hidden states in the store where a study needs them, and its models' costs."""
    if not any(study.states for study in prepared.request.studies):
        return prepared
    if not any(study.costs for study in prepared.request.studies):
        prepared.material.extract(progress)
        return prepared
    kept = home / "reproduce" / prepared.name() / "costs.json"
    costs = extract_and_measure(
        prepared.material,
        prepared.setup.protocol.seed,
        known_costs(kept),
        lambda found: write_json(kept, {name: cost.model_dump(mode="json") for name, cost in found.items()}),
        progress,
        Clock(),
    )
    return replace(prepared, setup=replace(prepared.setup, costs=costs))


def known_costs(path: Path) -> dict[str, ModelCost]:
    """Costs that were measured before; none where there is no whole file of them.

    Raises:
        BenchError: the file cannot be read.
    """
    import json

    try:
        return {name: ModelCost.model_validate(cost) for name, cost in json.loads(path.read_text("utf-8")).items()}
    except (FileNotFoundError, ValueError, AttributeError):
        return {}
    except OSError as error:
        raise unreadable(path, error) from error


def _study(
    study: PaperStudy,
    prepared: PreparedDataset,
    evaluations: Evaluations,
    home: Path,
    tracker: Tolerant,
    progress: Progress,
) -> FinishedStudy:
    about = describe(study, prepared)
    dataset, name = prepared.material.dataset.name, prepared.name(study)
    names = own_names(prepared.material.models.values())
    with _opened(tracker, home, dataset, name, about, prepared.material.tags) as parent:
        findings = with_names(_findings(study, prepared, evaluations, tracker, progress), names)
        told = about | {"models": _listed([*names.values()])}
        written = files(study, findings, told, progress)
        if not TASKS[prepared.material.dataset.task].ranks:
            written |= laid_out_files(study.name, {dataset: findings.rows})
        paths = write((prepared.request.out or home / "reproduce") / name / study.name, written)
        tracker.attach(written)
        tracker.close({"rows": float(len(findings.rows))}, {"bench.optimistic": "true"})
    title, models = prepared.material.dataset.title, tuple(names.values())
    return FinishedStudy(study, title, findings, paths, tracker.uri, parent, tracker.missing, models=models)


@contextmanager
def _opened(
    tracker: Tolerant, home: Path, experiment: str, name: str, about: Mapping[str, Any], tags: Mapping[str, str]
) -> Iterator[str | None]:
    """Hold the place `name` of a study alone while it is written to its parent run, whose id is given."""
    study = str(about["study"])
    with (
        held(home, name, study) as drawn,
        # the parameters hold a fingerprint of all settings: what an earlier bench wrote under them is of this study
        tracker.opened(TrackedStudy(experiment, f"{study}-{name}", _params(about), drawn, None, tags)) as parent,
    ):
        yield parent


def _findings(
    study: PaperStudy, prepared: PreparedDataset, evaluations: Evaluations, tracker: Tolerant, progress: Progress
) -> Findings:
    steps = study.steps(prepared.setup)
    try:
        asks = next(steps)
        while True:
            asks = list(dict.fromkeys(asks))
            if not asks:
                asks = steps.send({})
                continue
            evaluations.extract(asks)
            title = f"{study.name} on {prepared.material.dataset.title}"
            with progress.task(title, len(asks), "evaluations") as task:

                def done(ask: Question, scored: Scored) -> None:
                    tracker.log(record(ask, scored))
                    task.advance()

                answers = evaluations.answer(asks, done)
            asks = steps.send(answers)
    except StopIteration as end:
        findings: Findings = end.value
        return findings


def record(ask: Question, scored: Scored) -> Record:
    """An evaluation as a nested run."""
    name, measures = str(ask.subject), [MEASURES[each] for each in TASKS[ask.data.task].measures]
    params = candidate_params(ask.subject if isinstance(ask.subject, Candidate) else None)
    identity = ask.subject.fingerprint() if isinstance(ask.subject, Candidate) else name
    return Record(
        key=fingerprint([identity, ask.phase, list(ask.seeds), ask.data.fingerprint]),
        name=name[:200],
        params=params | {"phase": ask.phase, "train_rows": len(ask.data.train), "seeds": _listed(ask.seeds)},
        metrics=finite(scored.metrics(measures)),
        steps=[
            (each.name, step, repetition.predictions.value(each))
            for step, repetition in enumerate(scored.repetitions)
            for each in measures
        ],
        tags={"bench.state": "complete", "bench.front": "false"},
    )


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))


def describe(study: PaperStudy, prepared: PreparedDataset) -> dict[str, Any]:
    """What a study's numbers stand on, for people and for files."""
    setup, dataset, settings = prepared.setup, prepared.material.dataset, prepared.material.settings
    return {
        "study": study.name,
        "dataset": dataset.name,
        "train_rows": len(dataset.train),
        "test_rows": len(dataset.test),
        "classes": len(dataset.labels),
        **({} if dataset.rare is None else {"rare classes": dataset.rare.words}),
        "models": _listed(list(setup.models)),
        "missing models": "; ".join(f"{model.name} ({model.reason.rstrip('.')})" for model in setup.absent),
        "seeds on the test set": _listed(setup.seeds),
        "selection": setup.protocol.describe(len(dataset.train)) if study.selects else "",
        "heads": _heads(dataset.task),
        "intervals": study.intervals,
        "backend": settings.backend,
        "device": settings.device,
        "dtype": prepared.material.dtypes,
        "max_length": settings.max_length,
        "data": dataset.source.description,
        "warnings": " ".join(prepared.material.warnings),
        "fingerprint": prepared.key(study),
    }


def _heads(task: str) -> str:
    logistic = "logistic: converged, C tuned on the training rows"
    if TASKS[task].ranks:
        return f"{TASKS[task].head.kind}: untrained, on states that are standardised by the training rows; {logistic}"
    return f"mlp: 256 wide, 120 epochs of Adam (the paper's); {logistic}"


def _params(about: Mapping[str, Any]) -> dict[str, str | int | float]:
    """MLflow takes names of letters, digits and few signs, and values of 6,000 characters."""
    return {
        name.replace(" ", "_"): value if isinstance(value, int) else str(value)[:5000] for name, value in about.items()
    }


def _across(
    prepared: Sequence[PreparedDataset],
    done: Sequence[FinishedStudy],
    home: Path,
    tracker: Tolerant,
    progress: Progress,
) -> list[FinishedStudy]:
    """What studies say of all data sets together, and their tables as the paper lays them out."""
    found = []
    names = ", ".join(dict.fromkeys(each.dataset for each in done))
    key = _key(prepared)
    tags = {name: value for each in prepared for name, value in each.material.tags.items()}
    for study in prepared[0].request.studies:
        if study.across is None and study.name not in PAPER_TABLES:
            continue
        mine = {each.dataset: each.findings for each in done if each.study is study}
        findings = Findings([], title="As the paper lays it out") if study.across is None else study.across(mine)
        findings = replace(findings, errata=next(iter(mine.values())).errata)
        about = {"study": study.name, "dataset": names, "fingerprint": key}
        with _opened(tracker, home, "across", f"across-{key}", about, tags) as parent:
            written = files(study, findings, about, progress) if study.across is not None else {}
            written |= laid_out_files(study.name, {dataset: each.rows for dataset, each in mine.items()})
            paths = write(_folder(prepared, home) / study.name, written)
            tracker.attach(written)
            tracker.close({"rows": float(len(findings.rows))}, {"bench.optimistic": "true"})
        found.append(FinishedStudy(study, names, findings, paths, tracker.uri, parent, tracker.missing))
    return found
