"""Graphs as MLflow serves them: the file that an MLflow model made "from code" holds.

MLflow copies it into the package and executes it at loading; what it imports there is beside it, and nothing of bench.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class GraphTextClassifier(PythonModel):
    """Texts in a column `text` → the columns of an answer, as those of a package that torch runs."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open the graphs."""
        # beside the model, where MLflow looks for code
        from graph_classifier import GraphClassifier  # type: ignore[import-not-found]

        self._classifier = GraphClassifier(Path(context.artifacts["pipeline"]) / "graph")

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - as MLflow calls it
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Classify the rows."""
        try:
            answers = self._classifier.answers(model_input["text"].tolist(), **(params or {}))
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        return pd.DataFrame(answers, index=model_input.index, dtype=object)


mlflow.models.set_model(GraphTextClassifier())
