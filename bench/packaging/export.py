"""Where a packaged candidate goes: into a new folder, or into a tracking store."""

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from bench.errors import BenchError, nearest
from bench.evaluation.rule import LIKELIEST, Rule
from bench.files import sweep, temporary_folder
from bench.packaging.build import build
from bench.packaging.graphs.manifest import AskedGraphs, Form, GraphManifest, Precision, read_manifest
from bench.packaging.mlmodel import save
from bench.packaging.pipeline import PackagedPipeline
from bench.progress import SILENT, Progress
from bench.store.leftovers import EXPORTS
from bench.study.cascades import Selected
from bench.study.study import Study
from bench.tracking.mlflow import MlflowTracker
from bench.tracking.record import ModelRecord, Tracker


@dataclass(frozen=True)
class Exported:
    """A package and where it is: a `folder`, or `uri` in the store `tracking_uri` (and `version` where registered).

    `graphs` is what is known of its graphs, where it has some.
    """

    pipeline: PackagedPipeline
    uri: str
    folder: Path | None = None
    version: str | None = None
    tracking_uri: str | None = None
    graphs: GraphManifest | None = None

    def to_json(self) -> dict[str, Any]:
        """The export as JSON values."""
        latency, agreement = self.pipeline.latency, self.pipeline.agreement
        assert latency is not None
        assert agreement is not None
        return {
            "uri": self.uri,
            "folder": None if self.folder is None else str(self.folder),
            "registered_version": self.version,
            "study": self.pipeline.study,
            "trial": self.pipeline.trial,
            "cascade": self.pipeline.cascade,
            "baseline": self.pipeline.baseline,
            "chosen": self.pipeline.chosen,
            "candidate": self.pipeline.candidate.model_dump(mode="json"),
            "labels": list(self.pipeline.labels),
            "reject_below": self.pipeline.reject_below,
            "costs": self.pipeline.costs,
            "answered": None if self.pipeline.answered is None else asdict(self.pipeline.answered),
            "seed": self.pipeline.seed,
            "remote_code": self.pipeline.remote_code,
            "models": [
                {
                    "name": model.name,
                    "layers_loaded": model.deepest,
                    "layers": model.layers,
                    "weights": "packed" if model.packed else "by name",
                    "identity": dict(model.identity),
                }
                for model in self.pipeline.models
            ],
            "latency": latency.model_dump() | {"ratio": latency.ratio},
            "agreement": agreement.model_dump(),
            "search": dict(self.pipeline.search),
            "test": dict(self.pipeline.test),
            "graphs": None if self.graphs is None else self.graphs.model_dump(mode="json"),
        }


def export(
    study: Study,
    which: Selected,
    folder: Path,
    *,
    chosen: str,
    with_weights: bool = False,
    rule: Rule = LIKELIEST,
    graphs: AskedGraphs | None = None,
    progress: Progress = SILENT,
) -> Exported:
    """Package a scored trial, a cascade or a baseline as an MLflow model in a new `folder`.

    Args:
        study: The study, opened again.
        which: What was chosen of it (`Study.choose`).
        folder: Must not exist, or be empty.
        chosen: How it was chosen, which the package says.
        with_weights: Put the weights of the layers that are used into the package, which then needs no model beside
            it; else models are found by name and revision when the package is opened, and verified.
        rule: How it answers, unless it is asked for otherwise.
        graphs: In which runtime's graphs it answers; by torch where it is None.
        progress: Who is told.

    Raises:
        BenchError: the folder is taken, the weights cannot be packed, or the package does not predict as the search.
    """
    refuse_taken(folder)
    with _scratch(study, folder.name) as scratch:
        made = build(study, which, scratch / "pipeline", chosen, with_weights, progress, rule, graphs)
        save(scratch / "model", scratch / "pipeline", made)
        known = read_manifest(scratch / "pipeline")
        _place(scratch / "model", folder)
    return Exported(made, str(folder), folder, graphs=known)


def asked_graphs(form: str, precision: str, *, with_weights: bool) -> AskedGraphs | None:
    """The graphs that `format` and `precision` ask for; None where torch is to answer.

    Raises:
        BenchError: there is no such format, it has no such precision here, or something else was asked as well.
    """
    if form not in get_args(Form):
        raise BenchError(f"There is no format '{form}': {nearest(form, get_args(Form))}")
    if precision not in get_args(Precision):
        raise BenchError(f"There is no precision '{precision}': {nearest(precision, get_args(Precision))}")
    if form == "mlflow":
        if precision != "float32":
            raise BenchError("`precision` is that of a graph: give `format` 'onnx' or 'openvino' too.")
        return None
    if with_weights:
        raise BenchError("A graph holds its weights in any case: leave out `with_weights`.")
    from bench.packaging.graphs.runtimes import runtime_for

    asked = AskedGraphs(form, precision)  # type: ignore[arg-type]  # looked up above
    runtime_for(*asked)
    return asked


def refuse_taken(folder: Path) -> None:
    """Raise BenchError where something lies at `folder`, which a package would replace."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BenchError(f"{folder} is there already: give `out` a new folder.")


def log(
    study: Study,
    which: Selected,
    tracker: Tracker,
    *,
    chosen: str,
    register: str | None = None,
    alias: str | None = None,
    with_weights: bool = False,
    rule: Rule = LIKELIEST,
    graphs: AskedGraphs | None = None,
    progress: Progress = SILENT,
) -> Exported:
    """As `export`, into a tracking store: a logged model of its run, registered where a name is given.

    Raises:
        BenchError: as `export`; or the store lacks the run, or refuses the name.
    """
    if not isinstance(tracker, MlflowTracker):
        raise BenchError("The study is opened without tracking, so that no store can take a model: give a folder.")
    run = tracker.trial_run(study.tracked, which.key)
    if run is None:
        raise BenchError(
            f"The tracking store {tracker.uri} has no run of {which.title} of the study '{study.name}': name "
            "the store that it was searched with (`tracking_uri`), or export to a folder (`out`)."
        )
    with _scratch(study, study.name) as scratch:
        pipeline = scratch / "pipeline"
        made = build(study, which, pipeline, chosen, with_weights, progress, rule, graphs)
        known = read_manifest(pipeline)
        uri, version = tracker.models.log(
            run,
            _model_record(made),
            lambda target, place: save(target, pipeline, made, place),
            scratch / "model",
            register=register,
            alias=alias,
        )
    return Exported(made, uri, version=version, tracking_uri=tracker.uri, graphs=known)


def _model_record(made: PackagedPipeline) -> ModelRecord:
    assert made.latency is not None
    which = {"trial": made.trial, "cascade": made.cascade, "baseline": made.baseline}
    tags = {f"bench.{kind}": str(name) for kind, name in which.items() if name is not None}
    return ModelRecord(
        name=f"{made.study}-{re.sub('[ :/]', '-', made.title)}",
        tags={"bench.study": made.study, **tags, "bench.chosen": made.chosen},
        metrics={
            "export_latency_ms": made.latency.measured_ms,
            "export_latency_ratio": made.latency.ratio,
            **({} if made.latency.single_ms is None else {"export_latency_single_ms": made.latency.single_ms}),
        },
    )


@contextmanager
def _scratch(study: Study, name: str) -> Iterator[Path]:
    """A folder of the study's store to build in, so that `bench store` knows what a kill has left of an export."""
    exports = study.material.store.home / EXPORTS
    exports.mkdir(parents=True, exist_ok=True)
    sweep(exports)
    with temporary_folder(exports / name) as scratch:
        yield scratch


def _place(made: Path, folder: Path) -> None:
    """Let a folder take its name at once; from another disk it is copied beside it first."""
    if folder.exists():
        folder.rmdir()
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        made.rename(folder)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with temporary_folder(folder) as beside:
            shutil.copytree(made, beside / folder.name).rename(folder)
