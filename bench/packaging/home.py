"""Where a package lies: a folder, or an address in a tracking store."""

from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError, nearest
from bench.tracking import redacted, used

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from bench.tracking import MlflowTracker

PIPELINE = Path("artifacts", "pipeline")
SCHEMES = ("models:/", "runs:/")


def pipeline_folder(model: str, tracker: "MlflowTracker") -> Path:
    """The folder of the pipeline in an MLflow model that is named by a folder, or ``models:/…`` or ``runs:/…``.

    Raises:
        BenchError: there is no such model, or it is not one that bench exported.
    """
    folder = _fetched(model, tracker) if model.startswith(SCHEMES) else Path(model).expanduser()
    if not folder.is_dir():
        raise BenchError(
            f"There is no folder '{model}': give what bench export wrote, or an address of the tracking store "
            "(models:/NAME@ALIAS, models:/NAME/VERSION, models:/m-…, runs:/RUN/NAME)."
        )
    if not (folder / PIPELINE).is_dir():
        kind = "an MLflow model, but none that bench exported" if (folder / "MLmodel").is_file() else "no MLflow model"
        raise BenchError(f"'{model}' is {kind}: give what bench export wrote.")
    return folder / PIPELINE


def _fetched(uri: str, tracker: "MlflowTracker") -> Path:
    import mlflow
    from mlflow.exceptions import MlflowException

    client = tracker.connect()
    try:
        with used(tracker.address):
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    except (MlflowException, OSError) as error:
        raise BenchError(
            f"The tracking store {tracker.uri} has no model '{uri}' ({redacted(str(error))[:200].rstrip('.')})"
            f"{_hint(client, uri)}"
        ) from error


def _hint(client: "MlflowClient", uri: str) -> str:
    """The registered model or alias that was meant, as the end of a sentence."""
    name, _, alias = uri.removeprefix("models:/").partition("@")
    name = name.partition("/")[0]
    if not uri.startswith("models:/") or name.startswith("m-"):
        return "."
    models = {model.name: model for model in client.search_registered_models()}
    if name not in models:
        return f". Registered models: {nearest(name, models)}"
    return f". Aliases of {name}: {nearest(alias, models[name].aliases)}" if alias else "."
