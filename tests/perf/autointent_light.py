"""AutoIntent's own search on given rows and weights. Runs in AutoIntent's environment, where bench is not.

    PYTHON tests/perf/autointent_light.py REQUEST.json      # prints one JSON object, in its last line

REQUEST.json: `train` and `test` (lists of [text, class number]), `classes`, `model` (a folder for
sentence-transformers), `max_length` in tokens, `preset`, `seed`, `folder` for its files. The preset is AutoIntent's as
it stands, but for the model. What it spends on embeddings (loading, hashing and running the model, reading its own
cache) is told apart from the rest, which is its search. https://deeppavlov.github.io/AutoIntent/
"""

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any


class Stopwatch:
    """Seconds of the clock and of the processor in functions that are put on it; a call within a call counts once."""

    def __init__(self) -> None:
        self.clock = self.processor = 0.0
        self._running = False

    def on(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._running:
                return function(*args, **kwargs)
            self._running = True
            clock, processor = time.perf_counter(), time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.clock += time.perf_counter() - clock
                self.processor += time.process_time() - processor
                self._running = False

        return timed

    def read(self) -> dict[str, float]:
        return {"clock": round(self.clock, 3), "processor": round(self.processor, 3)}


def main(request: dict[str, Any]) -> dict[str, Any]:
    from autointent import Dataset, Embedder, Pipeline
    from autointent.configs import LoggingConfig, get_default_embedder_config
    from sentence_transformers import SentenceTransformer
    from sklearn.metrics import accuracy_score, f1_score

    whole, embedding, encoding = Stopwatch(), Stopwatch(), Stopwatch()
    Embedder.embed = embedding.on(Embedder.embed)
    SentenceTransformer.encode = encoding.on(SentenceTransformer.encode)

    pipeline = Pipeline.from_preset(request["preset"], seed=request["seed"])
    pipeline.set_config(
        get_default_embedder_config(
            model_name=request["model"], tokenizer_config={"max_length": request["max_length"]}, device="cpu"
        )
    )
    pipeline.set_config(LoggingConfig(project_dir=request["folder"], run_name="peer"))
    data = Dataset.from_dict({"train": [{"utterance": text, "label": label} for text, label in request["train"]]})
    context = whole.on(pipeline.fit)(data)
    seconds = {"whole": whole.read(), "embedding": embedding.read(), "encoding": encoding.read()}

    predicted = pipeline.predict([text for text, _ in request["test"]])
    truth = [label for _, label in request["test"]]
    # a text that is held to be out of scope has no class, and is wrong
    classes = [request["classes"] if label is None else int(label) for label in predicted]
    info = context.optimization_info
    tried = {kind: len(info.trials.get_trials(kind)) for kind in ("scoring", "decision")}
    return {
        "name": "AutoIntent",
        "version": version("autointent"),
        "preset": request["preset"],
        "seconds": seconds,
        "tried": tried,
        "best": {str(config.node_type): config.module_name for config in info.get_inference_nodes_config()},
        "accuracy": accuracy_score(truth, classes),
        "f1": f1_score(truth, classes, labels=range(request["classes"]), average="macro", zero_division=0),
    }


if __name__ == "__main__":
    found = main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    print(json.dumps(found))
