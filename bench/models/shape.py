"""The shape of a text body, read off its configuration: layers, width, vocabulary, and how many positions it has."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.models.jsons import read_object

COUNTED_FROM_PADDING = frozenset(
    {"camembert", "data2vec-text", "esm", "ibert", "lilt", "longformer", "luke", "markuplm", "mpnet", "xmod"}
)
"""Beside RoBERTa's own: bodies that number positions from behind the id of padding, and so have fewer for a text."""
ENDLESS = 2**31 - 1


@dataclass(frozen=True)
class BodyShape:
    """`layers` blocks of width `width` over an embedding of `vocabulary` rows; a text may have `positions` tokens."""

    layers: int
    width: int
    vocabulary: int
    positions: int


def body_shape(config: Any, folder: Path) -> BodyShape:
    """The shape of the body that transformers' `config` describes; its tokenizer in `folder` may say fewer positions.

    Raises:
        BenchError: the configuration has no such numbers; a clause.
    """
    layers, width, rows = (_size(config, name) for name in ("num_hidden_layers", "hidden_size", "vocab_size"))
    return BodyShape(layers, width, rows, min(_positions(config), _tokenizer_limit(folder)))


def _size(config: Any, name: str) -> int:
    value = getattr(config, name, None)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BenchError(
            f"its config.json has {value!r} for {name}: bench needs a body of text with layers of one width"
        )
    return value


def _positions(config: Any) -> int:
    found = getattr(config, "max_position_embeddings", None)
    # some say -1 where there is no end
    positions = found if isinstance(found, int) and found > 0 else ENDLESS
    if "roberta" in config.model_type or config.model_type in COUNTED_FROM_PADDING:
        positions -= int(getattr(config, "pad_token_id", None) or 0) + 1
    return min([positions, *_steady(getattr(config, "rope_parameters", None))])


def _steady(rope: Any) -> list[int]:
    """The lengths up to which a text's positions do not hang on the longest text in its batch.

    Beyond it, longrope turns every text of the batch by other frequencies.
    """
    if not isinstance(rope, dict):
        return []
    if rope.get("rope_type") in ("longrope", "dynamic"):
        original = rope.get("original_max_position_embeddings")
        return [original] if isinstance(original, int) and original > 0 else []
    return [length for each in rope.values() for length in _steady(each)]


def _tokenizer_limit(folder: Path) -> int:
    limit = (read_object(folder / "tokenizer_config.json") or {}).get("model_max_length")
    # "endless" is written as 1e30, by some as a float
    return min(int(limit), ENDLESS) if isinstance(limit, int | float) and 1 <= limit < float("inf") else ENDLESS
