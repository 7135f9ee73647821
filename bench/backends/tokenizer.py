"""Texts to token ids: the same for every backend, so that all see the same tokens."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import transformers

from bench.backends.base import Encoded
from bench.backends.settings import ResolvedSettings
from bench.errors import BenchError
from bench.models.quiet import quiet_transformers
from bench.models.resolve import ResolvedModel

TEXTS_AT_ONCE = 1024


def token_identity(model: ResolvedModel, settings: ResolvedSettings) -> Mapping[str, Any]:
    """What decides the tokens of a text, besides the tokenizer's own files; a part of every backend's identity."""
    return {
        "tokenizers": version("tokenizers"),
        "max_length": limit(model, settings),
        "truncation": "right",
        "special_tokens": True,
        "prompt": model.prompt,
    }


def limit(model: ResolvedModel, settings: ResolvedSettings) -> int:
    """The most tokens that a text may have, prompt and special tokens included."""
    return min(settings.max_length, model.max_positions)


class Tokenizer:
    """A model's fast tokenizer, which cuts on the right to the maximum length."""

    def __init__(self, model: ResolvedModel, settings: ResolvedSettings) -> None:
        self._model = model
        self._limit = limit(model, settings)
        with quiet_transformers():
            tokenizer = transformers.AutoTokenizer.from_pretrained(model.folder, trust_remote_code=model.remote_code)
        if not tokenizer.is_fast:
            raise BenchError(f"Model '{model.name}' has no tokenizer.json: only fast tokenizers are used.")
        tokenizer.truncation_side = "right"
        self._tokenizer: Any = tokenizer

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Token ids of `texts`, the model's prompt and special tokens included.

        Raises:
            BenchError: a text has no tokens, or the maximum length leaves none.
        """
        if self._limit <= (special := self._tokenizer.num_special_tokens_to_add()):
            raise BenchError(
                f"A maximum length of {self._limit} leaves no token of a text: model '{self._model.name}' adds "
                f"{special} of its own. Give a larger `max_length`."
            )
        ids: list[int] = []
        lengths: list[int] = []
        truncated: list[bool] = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            prompted = [self._model.prompt + text for text in texts[start : start + TEXTS_AT_ONCE]]
            for encoding in self._tokenizer(prompted, truncation=True, max_length=self._limit).encodings:
                if not encoding.ids:
                    raise BenchError(
                        f"Text {len(lengths)} has no tokens under model '{self._model.name}': remove empty texts."
                    )
                ids += encoding.ids
                lengths.append(len(encoding.ids))
                truncated.append(bool(encoding.overflowing))
        return Encoded(
            np.array(ids, dtype=np.int32),
            np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
            np.array(truncated, dtype=np.bool_),
        )
