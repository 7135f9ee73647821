"""A pipeline as an MLflow model, in a folder or in a tracking store."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.packaging.pipeline import Pipeline
from bench.packaging.requirements import pinned
from bench.study.journal import TrialRecord
from bench.study.reopen import Study
from bench.tracking import environment

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.models import Model

SOURCE = Path(__file__).parents[1]
EXAMPLES = ("The central bank cut its rate by a quarter point.", "Net profit of two mln dlrs vs one mln.")


def save(target: Path, pipeline: Path, made: Pipeline, model: "Model | None") -> None:
    """The MLflow model: our file of code, our source, the pipeline as an artifact. Nothing of it is pickled."""
    import mlflow
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Map

    with _quiet():
        mlflow.pyfunc.save_model(
            path=target,
            mlflow_model=model,
            python_model=Path(__file__).with_name("serving.py"),
            code_paths=[str(SOURCE)],
            artifacts={"pipeline": str(pipeline)},
            signature=ModelSignature(
                Schema([ColSpec(DataType.string, "text")]),
                Schema([ColSpec(DataType.string, "label"), ColSpec(Map(DataType.double), "probabilities")]),
            ),
            input_example=pd.DataFrame({"text": EXAMPLES}),
            pip_requirements=pinned({packaged.settings.backend for packaged in made.models}),
            metadata=_metadata(made),
        )


def trial_run(client: "MlflowClient", study: Study, trial: TrialRecord, uri: str) -> "Run":
    """The trial's run."""
    experiment = client.get_experiment_by_name(study.material.dataset.name)
    query = f"tags.`bench.study` = '{study.name}' and tags.`bench.key` = '{trial.candidate.fingerprint()}'"
    found = [] if experiment is None else client.search_runs([experiment.experiment_id], query, max_results=1)
    if not found:
        raise BenchError(
            f"The tracking store {uri} has no run of trial {trial.number} of the study '{study.name}': name the store "
            "that it was searched with (--tracking-uri), or export to a folder (--out)."
        )
    run: Run = found[0]
    return run


def log_model(client: "MlflowClient", run: "Run", scratch: Path, made: Pipeline) -> "LoggedModel":
    """Save the pipeline that lies in the folder `scratch` as a logged model of `run`, with how long it takes."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    logged = client.create_logged_model(
        run.info.experiment_id,
        name=f"{made.study}-trial-{made.trial}".replace("/", "-"),
        source_run_id=run.info.run_id,
        tags={"bench.study": made.study, "bench.trial": str(made.trial), "bench.chosen": made.chosen},
        params=run.data.params,
        model_type="classifier",
    )
    model = Model(
        artifact_path=logged.artifact_location,
        run_id=run.info.run_id,
        model_uuid=logged.model_id,
        model_id=logged.model_id,
    )
    try:
        save(scratch / "model", scratch / "pipeline", made, model)
        client.log_model_artifacts(logged.model_id, str(scratch / "model"))
        client.log_outputs(run.info.run_id, [LoggedModelOutput(logged.model_id, step=0)])
        for name, value in _metrics(made).items():
            client.log_metric(run.info.run_id, name, value, model_id=logged.model_id)
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    return client.finalize_logged_model(logged.model_id, "READY")


def register_model(client: "MlflowClient", logged: "LoggedModel", name: str, alias: str | None) -> str:
    """A new version of the registered model `name`, which is made if need be; returns its number."""
    import mlflow

    version = str(mlflow.register_model(f"models:/{logged.model_id}", name).version)
    if alias is not None:
        client.set_registered_model_alias(name, alias, version)
    return version


def _metadata(made: Pipeline) -> dict[str, Any]:
    """What MLmodel says of the pipeline; the whole description lies in the artifact."""
    assert made.latency is not None
    return {
        "bench_study": made.study,
        "bench_trial": made.trial,
        "bench_candidate": str(made.candidate),
        "bench_remote_code": made.remote_code,
        # through JSON, as torch's version is a string of its own kind, which YAML cannot hold
        "bench_models": json.loads(json.dumps({model.name: dict(model.identity) for model in made.models})),
        "bench_latency_predicted_ms": made.latency.predicted_ms,
        "bench_latency_measured_ms": made.latency.measured_ms,
    }


def _metrics(made: Pipeline) -> Mapping[str, float]:
    assert made.latency is not None
    return {"export_latency_ms": made.latency.measured_ms, "export_latency_ratio": made.latency.ratio}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without MLflow's bars over files and its notes on what it does; warnings stay."""
    logger = logging.getLogger("mlflow")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with environment(MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false"):
            yield
    finally:
        logger.setLevel(before)
