"""The packaged pipeline as MLflow runs it: the file that an MLflow model made "from code" holds.

MLflow copies this file into the package and executes it at loading; the bench beside it there is what it imports.
"""

import os
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from bench.errors import BenchError
from bench.home import store_home
from bench.packaging.classifier import Classifier

TRUST = "BENCH_TRUST_REMOTE_CODE"


class TextClassifier(PythonModel):
    """Texts in a column `text` → the columns of the task's answer: in classification a `label` and `probabilities`.

    A model's own code runs only where whoever serves the package sets BENCH_TRUST_REMOTE_CODE=1: MLflow has no place
    for a flag, and what the package says of itself permits nothing. What a caller can mend is an MlflowException, which
    MLflow's server answers with status 400.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Open the pipeline."""
        try:
            self._classifier = Classifier.open(
                Path(context.artifacts["pipeline"]), store_home(), trust_remote_code=os.environ.get(TRUST) == "1"
            )
        except BenchError as error:
            # here the variable stands for the flag
            message = str(error).replace("pass `trust_remote_code`", f"set {TRUST}=1")
            raise MlflowException.invalid_parameter_value(message) from None

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - as MLflow calls it
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Classify the rows."""
        try:
            predictions = self._classifier.predict(model_input["text"].tolist())
        except BenchError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        return pd.DataFrame(self._classifier.said(predictions), columns=list(self._classifier.task.columns))


mlflow.models.set_model(TextClassifier())
