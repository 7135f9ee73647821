"""Where a package lies: a folder, or an address in a tracking store."""

from pathlib import Path

from bench.errors import BenchError
from bench.tracking.mlflow import MlflowModels

PIPELINE = Path("artifacts", "pipeline")
SCHEMES = ("models:/", "runs:/")


def pipeline_folder(model: str, models: MlflowModels) -> Path:
    """The folder of the pipeline in an MLflow model that is named by a folder, or by its address among `models`.

    Raises:
        BenchError: there is no such model, or it is not one that bench exported.
    """
    folder = models.fetch(model) if model.startswith(SCHEMES) else Path(model).expanduser()
    if not folder.is_dir():
        raise BenchError(
            f"There is no folder '{model}': give what bench export wrote, or an address of the tracking store "
            "(models:/NAME@ALIAS, models:/NAME/VERSION, models:/m-…, runs:/RUN/NAME)."
        )
    if not (folder / PIPELINE).is_dir():
        kind = "an MLflow model, but none that bench exported" if (folder / "MLmodel").is_file() else "no MLflow model"
        raise BenchError(f"'{model}' is {kind}: give what bench export wrote.")
    return folder / PIPELINE
