"""Whether a model can be opened and its texts encoded, found out without reading its weights."""

from collections.abc import Iterator, Sequence

import torch

from bench.backends.architectures import EAGER, SDPA, fastest_attention
from bench.backends.layout import limit, overlap
from bench.backends.settings import ResolvedSettings
from bench.backends.tokenizer import Tokenizer
from bench.models.resolve import ResolvedModel


def check_openable(model: ResolvedModel, settings: ResolvedSettings, texts: Sequence[str]) -> None:
    """Raise BenchError where opening the model or encoding `texts` will fail, but for memory.

    A model that runs code of its own is not built: that code is run where the model is used, and nowhere else.
    """
    from bench.backends.loading import check_body  # seconds of imports, for nothing where all is stored

    Tokenizer(model, settings).check(texts)
    if not model.remote_code:
        check_body(model, getattr(torch, settings.dtype))


def remarks(model: ResolvedModel, settings: ResolvedSettings) -> Iterator[str]:
    """What a reader should know of how the model's texts are prepared, as clauses."""
    if model.prompt:
        yield f"every text begins with {model.prompt!r}"
    if model.lowercase:
        yield "texts are put in lower case"
    if model.max_positions < settings.max_length:
        yield f"it takes texts of at most {model.max_positions} tokens, and `max_length` is {settings.max_length}"
    if model.framing.long == "head+tail":
        yield f"of texts of more than {limit(model, settings)} tokens the first and the last ones are read"
    if model.framing.long == "chunks":
        yield (
            f"texts of more than {limit(model, settings)} tokens are read in windows that share "
            f"{overlap(model, settings)}, combined by '{model.framing.combine}'"
        )
    if settings.attention is None and fastest_attention(model) != SDPA:
        yield f"transformers has no {SDPA} attention for a {model.architecture}, which runs with {EAGER} attention"
    yield from model.notes
