"""How a model's texts are prepared: what is asked for, else its row, else what its card or its folder says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import BenchError, nearest
from bench.models.rows import CARD_PROMPTS, ModelRow
from bench.models.sentence import is_text, sentence_settings


@dataclass(frozen=True)
class Use:
    """`prompt` comes before every text, which is `lowercase`d and has at most `max_tokens`; `pooling` is its authors'.

    `notes` say what its authors do and bench does not, as clauses.
    """

    prompt: str
    max_tokens: int | None
    lowercase: bool
    pooling: str | None
    notes: tuple[str, ...]


def use_of(
    name: str,
    folder: Path,
    row: ModelRow | None,
    repo: str | None,
    prompt: str | None,
    recorded: Mapping[str, Any] | None,
) -> Use:
    """How the model in `folder` is used under the name `name`, which is that of a `row` or of the hub's `repo`, if any.

    A row is used as it says, whatever its folder does. What was `recorded` goes before all: its texts were prepared
    so where it was written down.

    Raises:
        BenchError: the folder's files for sentence-transformers are damaged, or ask for what cannot be done.
    """
    try:
        said = sentence_settings(folder)
    except BenchError as error:
        raise BenchError(f"Model '{name}' cannot be used: {error}.") from error
    notes = said.notes
    if row is not None:
        own, most, lowercase = row.prompt, None, False
        if said.max_tokens is not None:
            notes = (*notes, f"its authors cut texts to {said.max_tokens} tokens")
    else:
        own = next((text for pattern, text in CARD_PROMPTS.items() if re.fullmatch(pattern, repo or "")), said.prompt)
        most, lowercase = said.max_tokens, said.lowercase
    if recorded is not None and "prompt" in recorded:
        prompt, lowercase = str(recorded["prompt"]), recorded.get("lowercase") is True
        kept = recorded.get("max_length")
        most = most if most is None or not isinstance(kept, int) else max(most, kept)
    prompt = own if prompt is None else prompt
    if prompt and not said.prompted:
        raise BenchError(
            f"Model '{name}' has the prompt {prompt!r}, whose tokens its own pooling leaves out (include_prompt), and "
            f"bench pools all tokens: give `prompts='{name}='` to do without it."
        )
    return Use(prompt, most, lowercase, said.pooling, notes)


def prompts_by_model(prompts: tuple[str, ...]) -> dict[str, str]:
    """Model → its prompt, of settings that say ``MODEL=TEXT``.

    Raises:
        BenchError: one does not, or two are of one model.
    """
    found: dict[str, str] = {}
    for each in prompts:
        name, equals, text = each.partition("=")
        if not equals or not name or name in found or not is_text(text):
            raise BenchError(f"`prompts` takes MODEL=TEXT, once for a model, and not {each!r}.")
        found[name] = text
    return found


def check_prompted(prompts: Mapping[str, str], models: tuple[str, ...]) -> None:
    """Raise BenchError where a prompt is for none of `models`."""
    for name in prompts:
        if name not in models:
            raise BenchError(f"`prompts` names '{name}', which is none of the models: {nearest(name, models)}")
