"""The packaged pipeline as MLflow runs it: the file that an MLflow model made "from code" holds.

MLflow copies this file into the package and executes it at loading; the bench beside it there is what it imports.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from bench.datasets.columns import is_missing, texts_of
from bench.errors import BenchError
from bench.evaluation.mistakes import MistakeCosts
from bench.evaluation.rule import Rule
from bench.home import store_home
from bench.packaging.classifier import Classifier

SERVER = "mlflow.pyfunc.scoring_server.app"
TRUST = "BENCH_TRUST_REMOTE_CODE"


class TextClassifier(PythonModel):
    """Texts in a column `text` → the columns of the task's answer: in classification a `label` and `probabilities`.

    Texts of several fields have a column each.

    A cascade says beside them which `stage` answered, and by what `margin`. Under the parameter `reject_below` a text
    whose label is less probable has none, and a column `rejected` says so. Under `costs`, cost by answer by true label,
    each text has the answer of least expected cost. Where they are not given the package's own stand.

    A model's own code runs only where whoever serves the package sets BENCH_TRUST_REMOTE_CODE=1: MLflow has no place
    for a flag, and what the package says of itself permits nothing. What a caller can mend is an MlflowException, which
    MLflow's server answers with status 400.

    An answer has the index of its row. A blank text has None in every column; null and numbers are no texts.
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
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Classify the rows."""
        classifier = self._classifier
        try:
            if params:
                classifier = classifier.under(_rule(classifier, **params))
            fields = classifier.pipeline.fields or ("text",)
            columns = [_texts(model_input[name].tolist()) for name in fields]
            answers = classifier.answers(texts_of(columns))
        except BenchError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        said = {name: [answer[name] for answer in answers] for name in classifier.columns}
        return pd.DataFrame(said, index=model_input.index, dtype=object)


def _rule(classifier: Classifier, reject_below: float, costs: dict[str, dict[str, float]] | None = None) -> Rule:
    """What a call asks for; MLflow fills in the package's own. No costs are an empty mapping."""
    return Rule(reject_below, MistakeCosts.of_values(costs, classifier.pipeline.labels) if costs else None)


def _texts(values: Sequence[Any]) -> Sequence[str]:
    """The values of the column of texts.

    Raises:
        BenchError: one is missing or no text. A file may leave a text out; a caller that sends null has lost it.
    """
    for number, value in enumerate(values, 1):
        if not isinstance(value, str):
            kind = "null" if is_missing(value) else type(value).__name__
            raise BenchError(f"Text {number} is no text but {kind}: give strings.")
    return values


def _refuse_what_is_no_text() -> None:
    """Let MLflow's server refuse null and numbers, of which by itself it makes the words "None" and "3".

    It does so while it reads the JSON, before any model sees it. What is replaced here is a function of the release of
    MLflow that the package requires, in the process of a server alone, which serves this one model.
    """
    if SERVER not in sys.modules:
        return
    from mlflow.types import ColSpec, DataType
    from mlflow.utils import proto_json_utils

    convert = proto_json_utils.convert_data_type

    def checked(data: Any, spec: Any) -> Any:
        if isinstance(spec, ColSpec) and spec.type == DataType.string:
            try:
                _texts(data if isinstance(data, list) else [data])
            except BenchError as error:
                raise MlflowException.invalid_parameter_value(str(error)) from None
        return convert(data, spec)

    proto_json_utils.convert_data_type = checked


_refuse_what_is_no_text()
mlflow.models.set_model(TextClassifier())
