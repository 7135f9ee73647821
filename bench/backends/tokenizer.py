"""Texts to token ids: the same for every backend, so that all see the same tokens."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np

from bench.backends.base import Encoded
from bench.backends.layout import Frame, Laid, encoded, limit, overlap
from bench.backends.settings import ResolvedSettings
from bench.errors import BenchError, in_words
from bench.models.quiet import quiet_transformers
from bench.models.resolve import ResolvedModel
from bench.views import PAIR, PLACE

TEXTS_AT_ONCE = 1024


def token_identity(model: ResolvedModel, settings: ResolvedSettings) -> Mapping[str, Any]:
    """What decides the tokens of a text, besides the tokenizer's own files; a part of every backend's identity."""
    return {
        "tokenizers": version("tokenizers"),
        "max_length": limit(model, settings),
        # behind a text comes what its prompt has there: then the text alone is cut
        "truncation": "right, of the text" if model.prompt.partition(PLACE)[2] else "right",
        "special_tokens": True,
        "prompt": model.prompt,
        # beside the prompt, and only where it is so: earlier versions knew no such models
        **({"lowercase": True} if model.lowercase else {}),
        **({"pair": True} if _pairs(model) else {}),
        **({} if model.pooled == "all" else {"pooled": model.pooled}),
        **_framing_identity(model, settings),
    }


def _framing_identity(model: ResolvedModel, settings: ResolvedSettings) -> dict[str, Any]:
    framing, found = model.framing, dict[str, Any]()
    if framing.long != "truncate":
        found["long"] = framing.long
    if framing.long == "chunks":
        found |= {"overlap": overlap(model, settings), "combine": framing.combine}
    return found | {name: True for name in ("eos", "echo") if getattr(framing, name)}


def _pairs(model: ResolvedModel) -> bool:
    """Whether a row is given to the tokenizer as the two parts of a pair."""
    return model.view is not None and model.view.pair


class Tokenizer:
    """A model's fast tokenizer, which cuts on the right to the maximum length, or lays texts out as their form says.

    Raises:
        BenchError: the model has no fast tokenizer, or one that cannot be read.
    """

    def __init__(self, model: ResolvedModel, settings: ResolvedSettings) -> None:
        import transformers

        self._model, self._settings = model, settings
        self._before, _, self._after = model.prompt.partition(PLACE)
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
        if _pairs(model) and tokenizer.num_special_tokens_to_add(pair=True) <= tokenizer.num_special_tokens_to_add():
            raise BenchError(
                f"The tokenizer of '{model.name}' puts nothing between the two texts of a pair: join the fields with a "
                "separator instead."
            )
        self._eos = [self._eos_token()] if model.framing.eos else []

    def saved(self) -> str:
        """As a file of the tokenizers library, in JSON, which cuts as this one does, without prompt and lower case."""
        import tokenizers

        found = tokenizers.Tokenizer.from_str(self._tokenizer.backend_tokenizer.to_str())
        found.no_padding()
        found.enable_truncation(self._limit)
        saved: str = found.to_str()
        return saved

    def check(self, texts: Sequence[str]) -> None:
        """Raise BenchError where `texts` cannot be encoded, without encoding them where that is plain."""
        # where the embedding is as large, no text can hold a token beyond it; one text shows whether any has room
        self.encode(texts if self._beyond else texts[:1])

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
        if self._limit <= (special := self._tokenizer.num_special_tokens_to_add(pair=_pairs(self._model))):
            raise BenchError(
                f"A maximum length of {self._limit} leaves no token of a text: model '{self._model.name}' adds "
                f"{special} of its own. Give a larger `max_length`."
            )
        found = self._encoded(texts) if self._model.framing.plain else self._laid_out(texts)
        self._check_known(found)
        return found

    def _laid_out(self, texts: Sequence[str]) -> Encoded:
        """As the form of the input lays them out."""
        model, laid = self._model, list[Laid]()
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            read = [model.reads(text) for text in texts[start : start + TEXTS_AT_ONCE]]
            with quiet_transformers():
                encodings = self._tokenizer([self._prompted(text) for text in read]).encodings if read else []
            for text, encoding in zip(read, encodings, strict=True):
                if not encoding.ids:
                    raise BenchError(f"Text {len(laid)} has no tokens under model '{model.name}': remove empty texts.")
                begin, end = self._own(encoding, text)
                frame = self._frame(encoding.ids[:begin], encoding.ids[end:])
                laid.append(frame.lay_out(encoding.ids[begin:end]))
        return encoded(laid, windows=model.framing.long == "chunks", spans=model.framing.echo or model.pooled == "text")

    def _own(self, encoding: Any, text: str) -> tuple[int, int]:
        """The first of a text's own tokens, and what is behind the last; of a text without any, where they would be."""
        if self._model.prompt:
            own = self._places(encoding, len(text.lower() if self._model.lowercase else text))
        else:
            own = [place for place, special in enumerate(encoding.special_tokens_mask) if not special]
        return (own[0], own[-1] + 1) if own else (len(encoding.ids), len(encoding.ids))

    def _frame(self, before: Sequence[int], behind: Sequence[int]) -> Frame:
        """What stands around a text whose tokens are between these.

        Raises:
            BenchError: it leaves no token of a text, or no more than windows share.
        """
        model, framing = self._model, self._model.framing
        behind = [*behind, *self._eos]
        room = (self._limit - len(before) - len(behind)) // (2 if framing.echo else 1)
        shared = overlap(model, self._settings) if framing.long == "chunks" else 0
        if room <= shared:
            twice = ", which is read twice," if framing.echo else ""
            raise BenchError(
                f"Of {self._limit} tokens that '{model.name}' reads at once, {len(before) + len(behind)} stand around "
                f"a text{twice} and windows share {shared}, which leaves nothing new in a window: give a larger "
                "`max_length`, or a form of the input with a larger window or a smaller overlap."
            )
        own, goes_on = model.pooled == "text", bool(self._after)
        return Frame(before, behind, room, framing.long, shared, framing.echo, own, goes_on)

    def _eos_token(self) -> int:
        """The id of the token that ends a text.

        Raises:
            BenchError: there is none, or the tokenizer puts it behind every text as it is.
        """
        found, whose = self._tokenizer.eos_token_id, f"The tokenizer of '{self._model.name}'"
        if found is None:
            raise BenchError(f"{whose} has no end-of-sequence token: leave eos out of the form.")
        if self._tokenizer("a").input_ids[-1] == found:
            raise BenchError(f"{whose} puts {self._tokenizer.eos_token} behind every text: leave eos out of the form.")
        return int(found)

    def _encoded(self, texts: Sequence[str]) -> Encoded:
        """Cut by the tokenizer itself."""
        ids: list[int] = []
        lengths: list[int] = []
        truncated: list[bool] = []
        spans: list[tuple[int, int]] = []
        read = [self._model.reads(text) for text in texts]
        cut = [self._fitting(text) for text in read]
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            prompted = [self._prompted(text) for text in cut[start : start + TEXTS_AT_ONCE]]
            for encoding in self._tokenizer(prompted, truncation=True, max_length=self._limit).encodings:
                if not encoding.ids:
                    raise BenchError(
                        f"Text {len(lengths)} has no tokens under model '{self._model.name}': remove empty texts."
                    )
                row = len(lengths)
                if self._model.pooled == "text":
                    spans.append(self._span(encoding, len(cut[row])))
                ids += encoding.ids
                lengths.append(len(encoding.ids))
                truncated.append(bool(encoding.overflowing) or len(cut[row]) < len(read[row]))
        # tokenizers 0.23.2 forgets what it cut off where nothing is added to a text: those just as long are counted.
        full = [row for row, length in enumerate(lengths) if length == self._limit and not truncated[row]]
        for row, length in zip(full, self._lengths([cut[row] for row in full]), strict=True):
            truncated[row] = length > self._limit
        return Encoded(
            np.array(ids, dtype=np.int32),
            np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
            np.array(truncated, dtype=np.bool_),
            np.array(spans, dtype=np.int64).reshape(-1, 2) if self._model.pooled == "text" else None,
        )

    def _span(self, encoding: Any, size: int) -> tuple[int, int]:
        """The first token that holds one of the text's `size` characters, and the one behind the last that does.

        What the tokenizer puts behind a text that ends its prompt (``[SEP]``) counts as the text's, as it does in
        sentence-transformers. Where nothing is left of the text, the last token is pooled.
        """
        own, count = self._places(encoding, size), len(encoding.ids)
        if not own:
            return count - 1, count
        return own[0], own[-1] + 1 if self._after else count

    def _places(self, encoding: Any, size: int) -> list[int]:
        """The tokens that hold one of the text's `size` characters."""
        begin = len(self._before)
        tokens = zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
        return [
            place
            for place, ((first, last), special) in enumerate(tokens)
            if not special and last > begin and first < begin + size
        ]

    @cached_property
    def _around(self) -> int:
        """Tokens of the prompt and of what the tokenizer adds."""
        return len(self._tokenizer(self._before + self._after).input_ids)

    def _fitting(self, text: str) -> str:
        """A text cut so far that what a prompt has behind it is within the maximum length.

        Raises:
            BenchError: the prompt alone is as long.
        """
        if not self._after:
            return text  # the tokenizer cuts on the right
        if (room := self._limit - self._around) < 1:
            raise BenchError(
                f"The prompt of '{self._model.name}' has {self._around} tokens, which leaves none of a text within "
                f"{self._limit}: give a shorter one, or a larger `max_length`."
            )
        with quiet_transformers():
            found = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        offsets = found["offset_mapping"]
        return text if len(offsets) <= room else text[: offsets[room - 1][1]]

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text if it were not cut."""
        if not texts:
            return []
        with quiet_transformers():
            return [len(ids) for ids in self._tokenizer([self._prompted(text) for text in texts]).input_ids]

    def _prompted(self, text: str) -> str | tuple[str, str]:
        """What the tokenizer is given of what is read: a text within its prompt, or a pair of texts."""
        prompted = self._before + text + self._after
        cased = prompted.lower() if self._model.lowercase else prompted
        if not _pairs(self._model):
            return cased
        first, _, second = cased.partition(PAIR)
        return first, second

    def _check_known(self, texts: Encoded) -> None:
        """Raise BenchError where a token has no row in the model's embedding."""
        if self._model.vocabulary is None or not (beyond := texts.ids >= self._model.vocabulary).any():
            return
        place = int(beyond.argmax())
        text = int(np.searchsorted(texts.offsets, place, side="right")) - 1
        token = self._tokenizer.convert_ids_to_tokens(int(texts.ids[place]))
        raise BenchError(
            f"Text {text} holds the token {token!r}, for which "
            f"model '{self._model.name}' has no embedding: the tokenizer has {self._size} tokens, the model "
            f"{self._model.vocabulary}. Resize the embedding and train it (resize_token_embeddings), or take the "
            "tokenizer that the model was trained with."
        )


_UNUSABLE = "has no fast tokenizer that can be used"
_SAVED = "save one into its folder (AutoTokenizer.from_pretrained(...).save_pretrained(folder) writes tokenizer.json)."
