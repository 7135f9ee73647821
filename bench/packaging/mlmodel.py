"""A pipeline in MLflow's model format: our file of code, our source, the pipeline as an artifact."""

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.foreign import foreign_modules_of
from bench.packaging.graphs.manifest import FOLDER, SERVES, GraphManifest, read_manifest
from bench.packaging.pipeline import PackagedPipeline
from bench.packaging.readme import readme
from bench.packaging.requirements import pinned
from bench.tasks.face import Column
from bench.tracking.mlflow.process import variables
from bench.tracking.record import ModelPlace

SOURCE = Path(__file__).parents[1]
README = "README.md"
EXAMPLES = ("The central bank cut its rate by a quarter point.", "Net profit of two mln dlrs vs one mln.")


def save(target: Path, pipeline: Path, made: PackagedPipeline, place: ModelPlace | None = None) -> None:
    """Write the MLflow model of a pipeline to the new folder `target`. Nothing of it is pickled.

    Args:
        target: The folder of the model.
        pipeline: The folder of the pipeline.
        made: The pipeline's description.
        place: Where the model is to lie in a tracking store; None where it stays in `target`.

    Raises:
        BenchError: the disk is full.
    """
    import mlflow
    import pandas as pd
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Map

    graphs, model = read_manifest(pipeline), None
    if place is not None:
        model = Model(artifact_path=place.location, run_id=place.run, model_uuid=place.model, model_id=place.model)
    kinds: dict[Column, Any] = {
        "text": DataType.string,
        "number": DataType.double,
        "whole number": DataType.long,
        "numbers by name": Map(DataType.double),
        "yes or no": DataType.boolean,
    }
    with _quiet(), _room(target):
        mlflow.pyfunc.save_model(
            path=target,
            mlflow_model=model,
            python_model=Path(__file__).parent / ("serving.py" if graphs is None else "graphs/serving.py"),
            # graphs stand by themselves
            code_paths=[str(SOURCE if graphs is None else pipeline / FOLDER / "graph_classifier.py")],
            artifacts={"pipeline": str(pipeline)},
            signature=ModelSignature(
                Schema([ColSpec(DataType.string, name) for name in made.fields or ("text",)]),
                Schema([ColSpec(kinds[kind], name) for name, kind in made.columns(made.rule).items()]),
                params=_parameters(made),
            ),
            input_example=pd.DataFrame(dict.fromkeys(made.fields or ("text",), EXAMPLES)),
            pip_requirements=_requirements(made, graphs),
            metadata=_metadata(made),
        )
        (target / README).write_text(readme(made, graphs), encoding="utf-8")


def _requirements(made: PackagedPipeline, graphs: GraphManifest | None) -> list[str]:
    if graphs is not None:
        return pinned((), ("mlflow", "numpy", "pandas", "tokenizers", *SERVES[graphs.runtime]))
    backends = {packaged.settings.backend for packaged in made.models}
    return pinned(backends.union(*map(foreign_modules_of, made.stages)))


def _parameters(made: PackagedPipeline) -> Any:
    """What a caller may ask for beside the texts, MLflow's `ParamSchema`; what the package was made with stands else.

    A parameter that is none by default has no type of its own in MLflow, hence the empty mapping.
    """
    from mlflow.types import DataType, ParamSchema, ParamSpec
    from mlflow.types.schema import AnyType, Map, Object, Property

    below = ParamSpec("reject_below", DataType.double, made.reject_below)
    if not made.labels:
        return ParamSchema([below])  # which says in words that there are no classes
    # any number: MLflow takes 1 for no double
    row = Map(AnyType())
    rows = Object([Property(label, row, required=False) for label in made.labels])
    costs = {label: dict(each) for label, each in (made.costs or {}).items()}
    return ParamSchema([below, ParamSpec("costs", rows, costs)])


@contextmanager
def _room(target: Path) -> Iterator[None]:
    """MLflow says of a full disk that its copy of the code holds files that cannot be copied."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        cause = error.__cause__
        if not isinstance(cause, OSError):
            raise
        # that of a whole tree has a list of names, each with its reason
        reason = cause.args[0][0][-1] if isinstance(cause, shutil.Error) else cause.strerror
        raise BenchError(
            f"The package cannot be made in {target.parent} ({reason}): free some space there, or set BENCH_STORE to a "
            "folder on another disk."
        ) from error


def _metadata(made: PackagedPipeline) -> dict[str, Any]:
    """What MLmodel says of the pipeline; the whole description lies in the artifact."""
    assert made.latency is not None
    latency = made.latency
    stages = {
        "bench_cascade": made.cascade,
        "bench_thresholds": list(made.thresholds),
        "bench_reached": list(latency.reached),
    }
    return {
        "bench_study": made.study,
        "bench_trial": made.trial,
        **({} if made.baseline is None else {"bench_baseline": made.baseline}),
        **(stages if made.thresholds else {}),
        "bench_candidate": str(made.candidate),
        "bench_remote_code": made.remote_code,
        # through JSON, as torch's version is a string of its own kind, which YAML cannot hold
        "bench_models": json.loads(json.dumps({model.name: dict(model.identity) for model in made.models})),
        "bench_latency_predicted_ms": latency.predicted_ms,
        "bench_latency_measured_ms": latency.measured_ms,
        "bench_latency_single_ms": latency.single_ms,
        "bench_reject_below": made.reject_below,
        "bench_costs": None if made.costs is None else {label: dict(row) for label, row in made.costs.items()},
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Without MLflow's bars over files and its notes on what it does; warnings stay."""
    logger = logging.getLogger("mlflow")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with variables(MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false"):
            yield
    finally:
        logger.setLevel(before)
