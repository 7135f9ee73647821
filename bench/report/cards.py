"""What a study stands on: its data, its models, what it was computed with."""

from collections import Counter
from dataclasses import dataclass

from bench.cost import ModelCost
from bench.metrics import LEVEL
from bench.study.study import Study
from bench.tasks import TASKS

Facts = list[tuple[str, str]]


@dataclass(frozen=True)
class ClassRow:
    """Rows of one class."""

    name: str
    train: int
    test: int


@dataclass(frozen=True)
class ModelCard:
    """One model: identity, and cost where it was measured."""

    name: str
    body: str
    identity: Facts
    truncated: int
    cost: ModelCost | None


def dataset_card(study: Study) -> Facts:
    """Sizes, origin and fingerprints of the data."""
    dataset = study.material.dataset
    stats, source = dataset.stats, dataset.source
    request = study.request.dataset
    subset = [
        f"{name} subset of at most {limit} rows (stratified, seed {request.seed})"
        for name, limit in (("training", request.max_train), ("test", request.max_test))
        if limit is not None
    ]
    facts = [
        ("data set", dataset.name),
        ("source", source.description),
        ("hub", f"{source.repo} at {source.revision}" if source.repo else ""),
        ("rows", f"{stats.train} training, {stats.test} test"),
        ("subset", "; ".join(subset)),
        ("rare classes", "" if dataset.rare is None else dataset.rare.words),
        (
            "classes" if TASKS[dataset.task].by_class else "labels",
            f"{stats.classes}"
            + (f", and {len(dataset.test_only_labels)} in the test set only" * bool(dataset.test_only_labels)),
        ),
        ("length", f"{stats.mean_words:.1f} words in the mean training text"),
        ("fingerprint", dataset.fingerprint),
        *((f"SHA-256 of {name}", digest) for name, digest in source.files.items()),
    ]
    return [(name, value) for name, value in facts if value]


def class_rows(study: Study) -> list[ClassRow]:
    """Rows by class, the most frequent first."""
    dataset = study.material.dataset
    names, task = (*dataset.labels, *dataset.test_only_labels), TASKS[dataset.task]
    train, test = (task.names_rows(each.labels, len(names)) for each in (dataset.train, dataset.test))
    # labels that the test set alone has come last
    train = [*train, *[0] * (len(names) - len(train))]
    rows = [ClassRow(*each) for each in zip(names, train, test, strict=True)] if test else []
    return sorted(rows, key=lambda row: -row.train)


def model_rows(study: Study) -> list[ModelCard]:
    """The models that took part."""
    truncated, rows = study.material.truncated, []
    for name, model in study.material.models.items():
        identity = study.material.identities[name]
        facts = [(key, str(value)) for key, value in identity.items() if key not in {"model", "kernels"}]
        facts += [("revision", model.revision)] if model.revision else []
        body = f"{model.architecture}, {model.layers} layers of width {model.width}"
        rows.append(ModelCard(name, body, [fact for fact in facts if fact[1]], truncated[name], study.costs.get(name)))
    return rows


def environment_card(study: Study, parent_run_id: str | None, tracking_uri: str) -> Facts:
    """Protocol, seeds and settings of the study, and what this report was made with."""
    from bench.study.logbook import environment

    request, protocol = study.request, study.request.protocol
    objectives = request.space.objectives
    here = environment()
    states = Counter(record.state for record in study.journal.records.values())
    facts = [
        ("protocol", study.protocol),
        ("seeds of the search", ", ".join(map(str, protocol.search_seeds))),
        ("seeds of the confirmation", ", ".join(map(str, protocol.confirm_seeds))),
        (
            "objectives",
            "; ".join(
                f"{direction} {name}" for name, direction in zip(objectives.names, objectives.directions, strict=True)
            ),
        ),
        ("space", request.space_name),
        ("sampler", request.space.sampler.name),
        (
            "limits",
            ", ".join(f"{key} {value}" for key, value in request.constraints.model_dump().items() if value is not None),
        ),
        (
            "trials",
            f"{study.journal.tried} tried of {request.trials}; "
            + ", ".join(f"{count} {state}" for state, count in states.most_common()),
        ),
        ("significance", f"two-sided, level {LEVEL:.0%}, the largest p over single models, Holm over the front"),
        (
            "MLflow",
            f"run {parent_run_id} in {tracking_uri}" if parent_run_id else "this report is in no tracking store",
        ),
        ("report made with", ", ".join(f"{key} {value}" for key, value in here.items() if value not in (None, [], ""))),
    ]
    return [(name, value) for name, value in facts if value]
