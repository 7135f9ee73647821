"""A classifier that `bench export --format onnx|openvino` made: texts in, labels and probabilities out.

This file stands by itself, in bench and in each package: it needs numpy, tokenizers, and the runtime of the graphs.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Arrays = Sequence[np.ndarray]
Session = Callable[[Mapping[str, np.ndarray]], Arrays]
"""Inputs by name → probabilities and scores, float32 [texts, classes] each, and distances, float32 [texts]."""

MANIFEST = "manifest.json"
TOKENS = 2048
"""Of a batch, padding included."""
WORDS = re.compile(r"(?u)\w+|[^\w\s]")
SURROGATES = re.compile("[\ud800-\udfff]")


class GraphAnswers(NamedTuple):
    """What is said of n texts.

    `probabilities` float32 [n, classes] mean what they say; `scores`, of the same shape, are the head's own, by which
    a cascade is sure of a text. `stages` int64 [n] answered, from 0. `distances` float32 [n] from the training rows.
    """

    probabilities: np.ndarray
    scores: np.ndarray
    stages: np.ndarray
    distances: np.ndarray


class GraphClassifier:
    """The graphs of `folder`, opened with so many `threads`, or as many as the runtime takes; stages answer in turn.

    Raises:
        ValueError: the folder is of a later format.
    """

    def __init__(self, folder: Path | str, threads: int | None = None) -> None:
        self.folder = Path(folder)
        self.manifest: dict[str, Any] = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
        if self.manifest["format"] != 1:
            raise ValueError(f"{self.folder} has format {self.manifest['format']}, and 1 is read here.")
        self.labels: list[str] = self.manifest["labels"]
        tokenizers = [Tokenized(self.folder, each) for each in self.manifest["tokenizers"]]
        opened = SESSIONS[self.manifest["runtime"]]
        self._stages: list[_Graph | _Words] = []
        for stage in self.manifest["stages"]:
            if stage["kind"] == "words":
                self._stages.append(_Words(self.folder / stage["file"], self.manifest["temperature"]))
            else:
                session = opened(self.folder / stage["file"], self.manifest["precision"], threads)
                inputs = [(tokenizers[each["tokenizer"]], each["ids"], each["mask"]) for each in stage["inputs"]]
                self._stages.append(_Graph(session, inputs))

    def scored(self, texts: Sequence[str]) -> GraphAnswers:
        """What the first stage that is sure says of each text, or the last one."""
        classes, count = len(self.labels), len(texts)
        found = GraphAnswers(
            np.empty((count, classes), np.float32),
            np.empty((count, classes), np.float32),
            np.zeros(count, np.int64),
            np.empty(count, np.float32),
        )
        here = np.arange(count)
        for number, (stage, about) in enumerate(zip(self._stages, self.manifest["stages"], strict=True)):
            probabilities, scores, distances = stage([texts[row] for row in here.tolist()])
            found.probabilities[here], found.scores[here], found.stages[here] = probabilities, scores, number
            if number == 0:
                found.distances[:] = distances
            if about["threshold"] is None:
                break
            here = here[margins(scores) < about["threshold"]]
            if not len(here):
                break
        return found

    def answers(
        self,
        texts: Sequence[str | None],
        reject_below: float | None = None,
        costs: Mapping[str, Mapping[str, float]] | None = None,
    ) -> list[dict[str, Any]]:
        """Label and probabilities of each text; of one that is None or blank, None in every column.

        Args:
            texts: In any order and number.
            reject_below: A text whose likeliest label is less probable gets none; None is the package's own bound.
            costs: Cost by answer by true label (``reject`` for none): the cheapest answer is given; None are the
                package's own, and an empty mapping is none.

        Raises:
            ValueError: a text is no string, or costs do not fit the labels.
        """
        below = self.manifest["reject_below"] if reject_below is None else reject_below
        table = _table(self.manifest["costs"] if costs is None else costs, self.labels)
        rows = [row for row, text in enumerate(texts) if not _blank(text, row)]
        said = self.scored([self._cleaned(str(texts[row])) for row in rows])
        cascade, sure = len(self._stages) > 1, margins(said.scores)
        rejects = below > 0 or (table is not None and table.shape[1] > len(self.labels))
        names = ["label", "probabilities", *["stage", "margin"] * cascade, *["rejected"] * rejects]
        found: list[dict[str, Any]] = [dict.fromkeys(names) for _ in texts]
        for place, row in enumerate(rows):
            each = said.probabilities[place]
            chosen = int(each.argmax() if table is None else (each.astype(np.float64) @ table).argmin())
            rejected = bool(each.max() < below) or chosen == len(self.labels)
            found[row]["label"] = None if rejected else self.labels[chosen]
            found[row]["probabilities"] = dict(zip(self.labels, each.tolist(), strict=True))
            if cascade:
                found[row] |= {"stage": int(said.stages[place]) + 1, "margin": float(np.float32(sure[place]))}
            if rejects:
                found[row]["rejected"] = rejected
        return found

    def _cleaned(self, text: str) -> str:
        return SURROGATES.sub("\ufffd", text.strip() if self.manifest["strip"] else text)


def margins(scores: np.ndarray) -> np.ndarray:
    """How far each row's likeliest class is ahead of the second, float64 [rows]; 1 where there is but one."""
    if scores.shape[1] < 2:
        return np.ones(len(scores))
    highest = np.partition(scores.astype(np.float64), -2, axis=1)
    found: np.ndarray = highest[:, -1] - highest[:, -2]
    return found


class Tokenized:
    """A model's tokenizer, which cuts on the right; its file has the length."""

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(folder / about["file"]))
        self._prompt, self._lowercase, self._padding = about["prompt"], about["lowercase"], about["padding"]

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, the model's prompt and special tokens included."""
        prompted = [self._prompt.replace("{text}", text) for text in texts]
        lowered = [text.lower() for text in prompted] if self._lowercase else prompted
        return [encoding.ids for encoding in self._tokenizer.encode_batch(lowered)]

    def padded(self, ids: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
        """Ids and mask of a batch, int64 [texts, tokens] each, padded on the right."""
        lengths = np.array([len(each) for each in ids])
        mask = np.arange(lengths.max())[None] < lengths[:, None]
        batch = np.full(mask.shape, self._padding, np.int64)
        batch[mask] = np.concatenate([np.asarray(each, np.int64) for each in ids])
        return batch, mask.astype(np.int64)


class _Graph:
    """A stage that is a graph, and what it is fed with: tokenizers with the names of their ids and of their mask."""

    def __init__(self, session: Session, inputs: Sequence[tuple[Tokenized, str, str]]) -> None:
        self._session, self._inputs = session, inputs

    def __call__(self, texts: Sequence[str]) -> Arrays:
        ids = [tokenizer.ids(texts) for tokenizer, _, _ in self._inputs]
        lengths = np.max([[len(each) for each in own] for own in ids], axis=0)
        order = np.argsort(lengths, kind="stable")
        parts = []
        for rows in _batches(order, lengths):
            fed: dict[str, np.ndarray] = {}
            for (tokenizer, name, mask), own in zip(self._inputs, ids, strict=True):
                fed[name], fed[mask] = tokenizer.padded([own[row] for row in rows])
            parts.append(self._session(fed))
        back = np.argsort(order)
        return [np.concatenate(each)[back] for each in zip(*parts, strict=True)]


def _batches(order: np.ndarray, lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Runs of rows of about one length, which hold about `TOKENS` together."""
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or (end - start + 1) * lengths[order[end]] > TOKENS:
            yield order[start:end]
            start = end


class _Words:
    """A stage of TF-IDF and a linear classifier: its terms are a file of JSON, its numbers one of numpy."""

    def __init__(self, file: Path, temperature: float) -> None:
        about = json.loads(file.read_text(encoding="utf-8"))
        self._columns = {term: column for column, term in enumerate(about["terms"])}
        self._pairs, self._factor, self._temperature = about["pairs"], about["factor"], temperature
        with np.load(file.with_suffix(".npz"), allow_pickle=False) as numbers:
            self._idf, self._weights, self._bias = numbers["idf"], numbers["weights"], numbers["bias"]

    def __call__(self, texts: Sequence[str]) -> Arrays:
        values, distances = np.tile(self._bias, (len(texts), 1)), np.empty(len(texts), np.float32)
        for row, text in enumerate(texts):
            words = WORDS.findall(text.lower())
            terms = words + [f"{one} {other}" for one, other in pairwise(words)] * self._pairs
            known = Counter(self._columns[term] for term in terms if term in self._columns)
            distances[row] = 1 - known.total() / max(1, len(terms))
            if known:
                columns = np.fromiter(known, np.int64)
                weights = (1 + np.log(np.fromiter(known.values(), np.float64))) * self._idf[columns]
                values[row] += self._weights[:, columns] @ (weights / np.linalg.norm(weights))
        logs = _log_softmax(self._factor * values)
        tempered = _log_softmax(logs.astype(np.float64) / self._temperature)
        return np.exp(tempered).astype(np.float32), np.exp(logs), distances


def _log_softmax(values: np.ndarray) -> np.ndarray:
    shifted = values - values.max(axis=1, keepdims=True)
    found: np.ndarray = (shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))).astype(np.float32)
    return found


def _onnx(file: Path, precision: str, threads: int | None) -> Session:  # noqa: ARG001 - it is in the graph
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, dict(inputs))


def _openvino(file: Path, precision: str, threads: int | None) -> Session:
    # None makes the import fail, and the library falls back to a stub of its own: nothing is reported
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    asked = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32"}
    if threads:
        asked["INFERENCE_NUM_THREADS"] = str(threads)
    request = openvino.compile_model(str(file), "CPU", asked).create_infer_request()
    return lambda inputs: [np.array(each) for each in request.infer(dict(inputs)).values()]


SESSIONS: Mapping[str, Callable[[Path, str, int | None], Session]] = {"onnx": _onnx, "openvino": _openvino}
"""A graph's file, opened in a precision on so many threads, by the name of its runtime."""


def _blank(text: Any, row: int) -> bool:
    if text is None:
        return True
    if not isinstance(text, str):
        raise ValueError(f"Text {row + 1} is no text but {type(text).__name__}: give strings.")
    return not text or text.isspace()


def _table(costs: Mapping[str, Mapping[str, float]] | None, labels: Sequence[str]) -> np.ndarray | None:
    """Cost float64 [true label, answer]; a column more than labels is to reject."""
    if not costs:
        return None
    rejects = "reject" not in labels and any("reject" in row for row in costs.values())
    answers = [*labels, *["reject"] * rejects]
    try:
        table = np.array([[float(costs[label][answer]) for answer in answers] for label in labels])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"Costs are a number for each answer by true label; {error} is missing or none.") from error
    if not np.isfinite(table).all():
        raise ValueError("Costs are finite numbers.")
    return table
