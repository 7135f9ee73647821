"""Which languages models are for, and whether texts look otherwise.

A detector of 4.6 MB finds the language out, without a network and always alike: py3langid, naive Bayes over n-grams of
bytes (Lui and Baldwin, langid.py, ACL 2012, demonstrations). It gives cause to think, and no more: it is silent where
texts are short or ambiguous.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.models.resolve import ResolvedModel

CARD = "README.md"
MANY = frozenset({"mul", "multilingual"})
"""What cards write of models for so many languages that they do not list them."""
SAMPLE, CHARACTERS = 100, 1000
"""Rows that are looked at, and characters of each."""
LETTERS, SURE, ROWS, SHARE = 40, 0.9, 20, 0.8
"""A row counts that has so many letters, and whose language is so probable; so many rows must, and agree so far."""
NEAR = {"nb": "no", "nn": "no", "bs": "hr", "sh": "hr", "ms": "id", "pcm": "en"}
"""Languages that are taken for one another: a model for one is not held to be foreign to the other."""


def languages_of(model: ResolvedModel) -> frozenset[str]:
    """The codes that its row says, else its card's metadata where that lies in its folder; none where not known."""
    if model.row is not None:
        return frozenset(model.row.languages)
    return _of_card(Path(model.folder) / CARD)


def _of_card(card: Path) -> frozenset[str]:
    from huggingface_hub import metadata_load

    try:
        said: Any = (metadata_load(card) or {}).get("language")
    except Exception:  # noqa: BLE001 - a card is people's prose, and what its reader raises depends on its parser
        said = None
    codes = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    plain = {str(code).lower().partition("-")[0].partition("_")[0] for code in codes}
    if plain & MANY:
        return MANY
    # what is not written as the detector writes it cannot be compared
    return frozenset(plain) if all(len(code) == 2 for code in plain) else frozenset()


@cache
def _detector() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language_of(texts: Sequence[str], seed: int = 0) -> str | None:
    """The language of most of a seeded sample of texts, as a code of two letters; None where that is not plain."""
    chosen = np.random.default_rng(seed).permutation(len(texts))[:SAMPLE]
    starts = [texts[row][:CHARACTERS] for row in sorted(chosen.tolist())]
    long = [start for start in starts if sum(map(str.isalpha, start)) >= LETTERS]
    if len(long) < ROWS:
        return None
    try:
        said = map(_detector().classify, long)
    except (ImportError, OSError):
        return None  # it is no part of the search: an environment without it has none of its words
    found = Counter(NEAR.get(code, code) for code, probability in said if probability >= SURE)
    if found.total() < ROWS:
        return None
    ((code, rows),) = found.most_common(1)
    return str(code) if rows >= SHARE * found.total() else None


def foreign(models: Iterable[ResolvedModel], texts: Sequence[str]) -> tuple[str, ...]:
    """A sentence on models that are not for the language which most of the texts seem to be in."""
    known = {model.base: codes for model in models if (codes := languages_of(model)) and not codes & MANY}
    if not known or (code := language_of(texts)) is None:
        return ()
    others = {name: codes for name, codes in known.items() if code not in {NEAR.get(each, each) for each in codes}}
    if not others:
        return ()
    said = "; ".join(f"{name} is for {', '.join(sorted(codes))}" for name, codes in others.items())
    return (f"most texts look like the language '{code}', and {said}: a model for '{code}' may serve better.",)
