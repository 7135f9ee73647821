"""Models in a tracking store: logged beside a run, registered under a name, fetched by address."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.addresses import redacted
from bench.errors import BenchError, nearest
from bench.tracking.mlflow.patience import reason_of
from bench.tracking.mlflow.process import used
from bench.tracking.mlflow.store import MlflowStore
from bench.tracking.record import ModelPlace, ModelRecord, TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient


class MlflowModels:
    """The models of a store."""

    def __init__(self, store: MlflowStore) -> None:
        self._store = store

    def log(
        self,
        run: str,
        record: ModelRecord,
        write: Callable[[Path, ModelPlace], None],
        folder: Path,
        *,
        register: str | None = None,
        alias: str | None = None,
    ) -> tuple[str, str | None]:
        """Log a model of a finished run; `write` makes its files in the new `folder`, knowing its place in the store.

        Returns:
            Its address, and its number where it became a version of the registered model `register`.

        Raises:
            TrackingError: the store refuses it, or does not answer.
        """
        client = self._store.connect()
        # To register a model MLflow looks it up in the store of the process.
        with used(self._store.address):
            model = self._logged(client, run, record, write, folder)
            if register is None:
                return f"models:/{model}", None
            version = self._registered(client, model, register, alias)
        return (f"models:/{register}@{alias}" if alias else f"models:/{register}/{version}"), version

    def _logged(
        self,
        client: "MlflowClient",
        run_id: str,
        record: ModelRecord,
        write: Callable[[Path, ModelPlace], None],
        folder: Path,
    ) -> str:
        from mlflow.entities import LoggedModelOutput

        run = client.get_run(run_id)
        logged = client.create_logged_model(
            run.info.experiment_id,
            name=record.name.replace("/", "-"),
            source_run_id=run_id,
            tags=dict(record.tags),
            params=run.data.params,
            model_type="classifier",
        )
        model = str(logged.model_id)
        try:
            place = str(logged.artifact_location)
            # it is written into the model's files, and may log in to where they lie
            write(folder, ModelPlace(run_id, model, redacted(place) if "://" in place else place))
            client.log_model_artifacts(model, str(folder))
            client.log_outputs(run_id, [LoggedModelOutput(model, step=0)])
            for name, value in record.metrics.items():
                client.log_metric(run_id, name, value, model_id=model)
        except BaseException:
            with suppress(TrackingError):
                client.finalize_logged_model(model, "FAILED")
            raise
        client.finalize_logged_model(model, "READY")
        return model

    def fetch(self, uri: str) -> Path:
        """The folder of the model at ``models:/…`` or ``runs:/…``, downloaded where the store is elsewhere.

        Raises:
            BenchError: there is none; it names the nearest registered model or alias.
        """
        import mlflow

        client = self._store.connect()
        try:
            with used(self._store.address):
                return self._store.patience.ask(lambda: Path(mlflow.artifacts.download_artifacts(artifact_uri=uri)))
        except TrackingError as error:
            reason = reason_of(error.__cause__ or error, self._store.address)
            raise BenchError(
                f"The tracking store {self._store.uri} has no model '{uri}' ({reason}){_hint(client, uri)}"
            ) from error

    def _registered(self, client: "MlflowClient", model: str, name: str, alias: str | None) -> str:
        """The number of a new version of the registered model `name`, which is made if need be."""
        import mlflow

        made = self._store.patience.ask(lambda: mlflow.register_model(f"models:/{model}", name))
        version = str(made.version)
        if alias is not None:
            client.set_registered_model_alias(name, alias, version)
        return version


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
