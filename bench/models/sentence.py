"""What sentence-transformers' files in a model's folder say of its use: prompt, length, case, pooling.

bench runs the body alone. What shapes the body's input is used; what comes behind its last layer is named.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bench.errors import BenchError, nearest
from bench.models.jsons import read_json, read_object

MODULES, PROMPTS = "modules.json", "config_sentence_transformers.json"
TRANSFORMER = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""Settings of the body, under the names that sentence-transformers has given the file."""
FILES = (MODULES, PROMPTS, *TRANSFORMER)
TASK = "classification"
"""The prompt of that name is taken where none is the default: what bench does is what it was written for."""

POOLINGS = {"mean": "mean", "cls": "first", "lasttoken": "last"}
"""sentence-transformers' poolings that are bench's too, by its names."""
_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}
_WITHOUT_EFFECT = ("Transformer", "Pooling", "Normalize", "Dropout")
"""Modules that change nothing of what bench stores: heads standardise their features anyway."""


@dataclass(frozen=True)
class SentenceSettings:
    """How sentence-transformers uses the body.

    `prompt` comes before every text, which is `lowercase`d and has at most `max_tokens`. `pooling` is the model's own,
    by bench's name, None where it is none of bench's or not known. `prompted`: the prompt's tokens are pooled too.
    `notes` say what else sentence-transformers does and bench does not, as clauses.
    """

    prompt: str = ""
    max_tokens: int | None = None
    lowercase: bool = False
    pooling: str | None = None
    prompted: bool = True
    notes: tuple[str, ...] = ()


def sentence_settings(folder: Path) -> SentenceSettings:
    """What the files say; the defaults where there are none.

    Raises:
        BenchError: a file is damaged, or the model's first part is no transformer in `folder` itself; a clause.
    """
    modules = tuple(_modules(folder))
    body = _body(folder)
    pooling, prompted, notes = _pooling(folder, modules)
    left_out = [kind for kind, _ in modules if kind not in _WITHOUT_EFFECT]
    if left_out:
        notes = (*notes, f"its {' and '.join(left_out)} after the pooling {_are(left_out)} left out: states are pooled")
    return SentenceSettings(_prompt(folder), body.max_tokens, body.lowercase, pooling, prompted, notes)


def pooling_files(folder: Path) -> list[str]:
    """The paths of the files that describe how the model pools, as far as its modules are known."""
    try:
        return [f"{path}/config.json" for kind, path in _modules(folder) if kind == "Pooling" and path]
    except BenchError:
        return []  # said where the model is resolved


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _modules(folder: Path) -> Iterator[tuple[str, str]]:
    """Kind and folder of each module, in order."""
    try:
        found = read_json(folder / MODULES)
    except BenchError as error:
        raise BenchError(f"its {error}: {_MEND}") from error
    if not (folder / MODULES).is_file():
        return
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise _damaged(MODULES, "it is no list of modules")
    for index, module in enumerate(found):
        kind, path = module.get("type"), module.get("path", "")
        if not isinstance(kind, str) or not isinstance(path, str):
            raise _damaged(MODULES, "a module has no type or path")
        name = kind.rpartition(".")[2]
        if ".." in (parts := PurePosixPath(path).parts) or parts[:1] == ("/",):
            raise _damaged(MODULES, f"it names '{path}', outside of its folder")
        if index == 0 and name == "Transformer" and parts:
            raise BenchError(f"its transformer lies in its folder '{path}': name that folder")
        if index == 0 and kind.startswith("sentence_transformers.") and name != "Transformer":
            raise BenchError(f"it is a {name} of sentence-transformers, which has no layers to choose from")
        yield name, path


@dataclass(frozen=True)
class _Body:
    max_tokens: int | None = None
    lowercase: bool = False


def _body(folder: Path) -> _Body:
    for name in TRANSFORMER:
        found = _object(folder / name)
        if found is None:
            continue
        most = found.get("max_seq_length")
        if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
            raise _damaged(name, f"max_seq_length is {most!r}")
        return _Body(most, found.get("do_lower_case") is True)
    return _Body()


def is_text(value: object) -> bool:
    """Whether it is a text that a tokenizer takes: half a surrogate pair is none."""
    return isinstance(value, str) and value.encode("utf-8", "ignore").decode() == value


def prompts_of(folder: Path) -> dict[str, str]:
    """The prompts that the files name.

    Raises:
        BenchError: the file is damaged; a clause.
    """
    prompts = (_object(folder / PROMPTS) or {}).get("prompts") or {}
    if not isinstance(prompts, Mapping) or not all(map(is_text, prompts.values())):
        raise _damaged(PROMPTS, "its prompts are no texts by name")
    return dict(prompts)


def _prompt(folder: Path) -> str:
    prompts, default = prompts_of(folder), (_object(folder / PROMPTS) or {}).get("default_prompt_name")
    if default is None:
        return next((text for name, text in prompts.items() if name.lower() == TASK), "")
    if not isinstance(default, str) or default not in prompts:
        raise _damaged(
            PROMPTS, f"its default prompt '{default}' is none of its prompts: {nearest(str(default), prompts)}"
        )
    return str(prompts[default])


def _pooling(folder: Path, modules: tuple[tuple[str, str], ...]) -> tuple[str | None, bool, tuple[str, ...]]:
    """The model's own pooling, whether the prompt's tokens are pooled, and a note where the pooling is not bench's."""
    path = next((path for kind, path in modules if kind == "Pooling"), None)
    found = None if path is None else _object(folder / path / "config.json")
    if found is None:
        return None, True, ()
    written = found.get("pooling_mode")
    modes = [written] if isinstance(written, str) else [mode for key, mode in _MODES.items() if found.get(key) is True]
    prompted = found.get("include_prompt") is not False
    if len(modes) == 1 and modes[0] in POOLINGS:
        return POOLINGS[modes[0]], prompted, ()
    return None, prompted, (f"its own pooling ({' with '.join(modes) or 'unknown'}) is none of bench's",)


def _object(path: Path) -> Mapping[str, Any] | None:
    try:
        return read_object(path)
    except BenchError as error:
        raise BenchError(f"its {error}: {_MEND}") from error


def _damaged(name: str, why: str) -> BenchError:
    return BenchError(f"its {name} cannot be used ({why}): {_MEND}")


_MEND = "fetch it again, or take it out of the folder"
