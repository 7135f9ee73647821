"""Texts to token ids: the same for every backend, so that all see the same tokens."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import transformers

from bench.backends.base import Encoded
from bench.backends.settings import ResolvedSettings
from bench.errors import BenchError, in_words
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
        # beside the prompt, and only where it is so: earlier versions knew no such models
        **({"lowercase": True} if model.lowercase else {}),
    }


def limit(model: ResolvedModel, settings: ResolvedSettings) -> int:
    """The most tokens that a text may have, prompt and special tokens included."""
    return min(settings.max_length, model.max_positions)


class Tokenizer:
    """A model's fast tokenizer, which cuts on the right to the maximum length.

    Raises:
        BenchError: the model has no fast tokenizer, or one that cannot be read.
    """

    def __init__(self, model: ResolvedModel, settings: ResolvedSettings) -> None:
        self._model = model
        self._limit = limit(model, settings)
        try:
            with quiet_transformers():
                tokenizer = transformers.AutoTokenizer.from_pretrained(
                    model.folder, trust_remote_code=model.remote_code
                )
        except Exception as error:  # what is wrong with a tokenizer's files shows in many ways
            raise BenchError(f"Model '{model.name}' {_UNUSABLE} ({in_words(error)[:120]} …): {_SAVED}") from error
        if not tokenizer.is_fast:
            raise BenchError(f"Model '{model.name}' {_UNUSABLE}: {_SAVED}")
        tokenizer.truncation_side = "right"
        self._tokenizer: Any = tokenizer

    def check(self, texts: Sequence[str]) -> None:
        """Raise BenchError where `texts` cannot be encoded, without encoding them where that is plain."""
        # where the embedding is as large, no text can hold a token beyond it
        self.encode(texts if self._beyond else [])

    @property
    def _beyond(self) -> int:
        """How many tokens the tokenizer has that the model's embedding has no row for."""
        return 0 if self._model.vocabulary is None else max(0, self._size - self._model.vocabulary)

    @property
    def _size(self) -> int:
        return max(self._tokenizer.get_vocab().values(), default=-1) + 1

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Token ids of `texts`, the model's prompt and special tokens included.

        Raises:
            BenchError: a text has no tokens or one that the model does not know, or the maximum length leaves none.
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
            prompted = [self._prepared(text) for text in texts[start : start + TEXTS_AT_ONCE]]
            for encoding in self._tokenizer(prompted, truncation=True, max_length=self._limit).encodings:
                if not encoding.ids:
                    raise BenchError(
                        f"Text {len(lengths)} has no tokens under model '{self._model.name}': remove empty texts."
                    )
                ids += encoding.ids
                lengths.append(len(encoding.ids))
                truncated.append(bool(encoding.overflowing))
        encoded = Encoded(
            np.array(ids, dtype=np.int32),
            np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
            np.array(truncated, dtype=np.bool_),
        )
        self._check_known(encoded)
        return encoded

    def _prepared(self, text: str) -> str:
        prompted = self._model.prompt + text
        return prompted.lower() if self._model.lowercase else prompted

    def _check_known(self, encoded: Encoded) -> None:
        """Raise BenchError where a token has no row in the model's embedding."""
        if self._model.vocabulary is None or not (beyond := encoded.ids >= self._model.vocabulary).any():
            return
        place = int(beyond.argmax())
        text = int(np.searchsorted(encoded.offsets, place, side="right")) - 1
        token = self._tokenizer.convert_ids_to_tokens(int(encoded.ids[place]))
        raise BenchError(
            f"Text {text} holds the token {token!r}, for which "
            f"model '{self._model.name}' has no embedding: the tokenizer has {self._size} tokens, the model "
            f"{self._model.vocabulary}. Resize the embedding and train it (resize_token_embeddings), or take the "
            "tokenizer that the model was trained with."
        )


_UNUSABLE = "has no fast tokenizer that can be used"
_SAVED = "save one into its folder (AutoTokenizer.from_pretrained(...).save_pretrained(folder) writes tokenizer.json)."
