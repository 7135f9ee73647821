"""How a row becomes the text that a model reads: which of its fields, apart or joined, and behind which prompt.

A row with several columns of texts is one string: its fields with the unit separator (U+001F) between them, which no
field holds. So all that handles texts (splits, stores, files, packages) handles such rows too, and a view takes them
apart where a model reads them. States are kept by what was read, so that a field that rows share is computed once.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bench.errors import BenchError, counted, nearest
from bench.specs import Long, Spec

UNIT = "\x1f"
PAIR = "\x1e"
"""Stands between the two texts of a pair, which the tokenizer joins as the model was taught."""
BLANK = "-"
"""What is read of a field that is blank: some tokenizers make no token at all of nothing."""
JOINED = "joined"
PLACE = "{text}"
"""In a prompt, where the text comes; one without it comes before the text."""
COMBINED = r"^(mean|max|first|top-[1-9]\d*)$"
_LATER = Field(exclude_if=lambda value: value is None or value is False)
"""Of what came after others: at its default it is not written, so that what forms are known by stays."""


def row_of(fields: Iterable[str]) -> str:
    """Fields as one row."""
    return UNIT.join(field.replace(UNIT, " ") for field in fields)


def plain(row: str) -> str:
    """A row for people: fields that are not blank, with a slash between them."""
    return " / ".join(field for field in row.split(UNIT) if field.strip()) if UNIT in row else row


def require_fields(row: str, names: Sequence[str], what: str) -> None:
    """Raise BenchError where a row has other fields than these; a row of one field has no names."""
    if (found := row.count(UNIT) + 1) != max(1, len(names)):
        asked = f"the fields {', '.join(names)}" if names else "one text"
        raise BenchError(f"{what} has {counted(found, 'field')}, and the model reads {asked}.")


class View(Spec):
    """What is read of a row of several fields: those at `places`, in that order, with `separator` between them.

    Blank ones are left out. With `pair` there are two, which go to the tokenizer as the two parts of a pair.
    """

    places: Annotated[tuple[int, ...], Field(min_length=1)]
    separator: str = "\n"
    pair: bool = False

    def __call__(self, row: str) -> str:
        """What is read; a text of one field is read as it is."""
        if UNIT not in row:
            return row
        fields = row.split(UNIT)
        found = [fields[place] if fields[place].strip() else BLANK for place in self.places]
        if self.pair:
            return PAIR.join(field.replace(PAIR, " ") for field in found)
        return self.separator.join(field for field in found if field != BLANK) or BLANK


class Framing(Spec):
    """How the tokens of a text are laid out for a model.

    A text is long that has more tokens than are read at once: `window`, special tokens and prompt included, or what the
    settings and the model allow where that is less or `window` is None. Of a long one under

    - ``truncate`` the first tokens are read,
    - ``head+tail`` the first and the last ones, half of the room each, with nothing between them,
    - ``chunks`` all, in windows of which each shares `overlap` tokens with the one before (None: an eighth of a
      window), each with the prompt and the special tokens. Each is pooled, and the pooled states are combined:
      `combine` is ``mean`` (each window weighs as many tokens as are pooled in it), ``max`` (the largest value of each
      column), ``first``, which is to truncate, or ``top-K``: the mean of the K windows whose state has the largest
      cosine with the mean of all, at each layer and pooling.

    `eos` puts the model's end-of-sequence token behind the text, as decoders are taught to close one. `echo` is the
    text's tokens twice, of which the second ones are pooled: under causal attention these have seen the whole text
    (Springer et al. 2024, "Repetition Improves Language Model Embeddings", section 3).
    """

    long: Long = "truncate"
    window: Annotated[int | None, Field(ge=1)] = None
    overlap: Annotated[int | None, Field(ge=0)] = None
    combine: Annotated[str, Field(pattern=COMBINED)] = "mean"
    eos: bool = False
    echo: bool = False

    @property
    def as_read(self) -> Self:
        """The same as it is read: where the first of all windows is taken, a text is cut."""
        return self.at_once if self.combine == "first" else self

    @property
    def plain(self) -> bool:
        """Whether a text is read once, with nothing behind it, and cut where it is too long."""
        return self == Framing(window=self.window)

    @property
    def at_once(self) -> Self:
        """The same for what reads one window at a time."""
        cut = {"long": "truncate", "overlap": None, "combine": "mean"}
        return self.model_copy(update=cut) if self.long == "chunks" else self


AS_IS = Framing()


class Form(Spec):
    """A form of the input as a space names it: what of a row is read, and behind which prompt.

    `fields` are columns of texts; none are all. `prompt` comes before the text, or has it where it says ``{text}``;
    `named` is the name of a prompt in the files that sentence-transformers keeps with a model. Where neither is given
    it is the model's own. `pooled` says whether the prompt's tokens are pooled too, or the text's alone. The others are
    those of `Framing`; where `long` is None, it is that of the settings.
    """

    fields: tuple[str, ...] = ()
    separator: str = "\n"
    pair: bool = False
    prompt: str | None = None
    named: str | None = None
    pooled: Literal["all", "text"] = "all"
    long: Annotated[Long | None, _LATER] = None
    window: Annotated[int | None, Field(ge=1), _LATER] = None
    overlap: Annotated[int | None, Field(ge=0), _LATER] = None
    combine: Annotated[str | None, Field(pattern=COMBINED), _LATER] = None
    eos: Annotated[bool, _LATER] = False
    echo: Annotated[bool, _LATER] = False

    @model_validator(mode="after")
    def _laid_out(self) -> Self:
        if self.long != "chunks" and (self.overlap is not None or self.combine is not None):
            raise ValueError("an overlap and a way to combine are of long = 'chunks'")
        if self.overlap is not None and self.window is not None and self.overlap >= self.window:
            raise ValueError("an overlap is smaller than its window")
        if self.pair and (self.eos or self.echo or self.window or self.long not in (None, "truncate")):
            raise ValueError("a pair is read once, as its tokenizer joins it, and cut where it is long")
        behind = bool((self.prompt or "").partition(PLACE)[2])
        if self.eos and behind and (self.echo or self.pooled == "text"):
            raise ValueError("behind a prompt that goes on after the text, an eos changes nothing of what is pooled")
        if self.echo and self.pooled == "text":
            raise ValueError("of an echo the text's tokens are pooled: leave out what is pooled")
        return self

    def framing(self, long: Long) -> Framing:
        """How tokens are laid out, under the settings' way with long texts where the form has none of its own."""
        return Framing(
            long=long if self.long is None else self.long,
            window=self.window,
            overlap=self.overlap,
            combine=self.combine or "mean",
            eos=self.eos,
            echo=self.echo,
        ).as_read

    @model_validator(mode="after")
    def _of_two(self) -> Self:
        if self.prompt is not None and self.named is not None:
            raise ValueError("a prompt is given, or named: not both")
        if self.pair and (self.pooled == "text" or PLACE in (self.prompt or "")):
            raise ValueError("a pair has a prompt before it alone, and all of its tokens are pooled")
        if self.pair and len(self.fields) not in (0, 2):
            raise ValueError("a pair is of two fields")
        return self

    def view(self, columns: Sequence[str], name: str) -> View | None:
        """What it takes of rows with these columns; None of rows with one, which are read as they are.

        Raises:
            BenchError: there is no such column, or a pair is asked for of others than two.
        """
        for field in self.fields:
            if field not in columns:
                raise BenchError(
                    f"The input '{name}' reads the field '{field}', which is none of the `text_column`s: "
                    f"{nearest(field, columns) if columns else 'give several of these'}"
                )
        if len(columns) < 2:
            if self.pair:
                raise BenchError(f"The input '{name}' reads a pair: give two `text_column`s.")
            return None
        places = tuple(map(list(columns).index, self.fields)) or tuple(range(len(columns)))
        if self.pair and len(places) != 2:
            raise BenchError(f"The input '{name}' reads a pair, and there are {len(places)} fields: name two of them.")
        return View(places=places, separator=self.separator, pair=self.pair)


def usual(columns: Sequence[str]) -> dict[str, Form]:
    """The forms where a space names none: each field alone, and all joined; nothing where there is one field."""
    if len(columns) < 2:
        return {}
    found: dict[str, Form] = {}
    for column in columns:
        name = re.sub(r"\W+", "_", column).strip("_") or "field"
        while name in found or name == JOINED:
            name += "_"
        found[name] = Form(fields=(column,))
    return found | {JOINED: Form()}


def parted(name: str) -> tuple[str, str | None]:
    """A model and the form of its input, of ``MODEL:FORM``; None where the name has none."""
    model, _, form = name.rpartition(":")
    if model and re.fullmatch(r"[\w-]+", form) and not Path(name).expanduser().is_dir():
        return model, form
    return name, None


def expanded(models: Iterable[str], forms: Mapping[str, Form]) -> tuple[str, ...]:
    """Every model under every form; one that is named with a form, under that alone."""
    return tuple(
        name
        for model in models
        for name in ([model] if parted(model)[1] is not None or not forms else [f"{model}:{form}" for form in forms])
    )


def form_of(name: str, forms: Mapping[str, Form]) -> Form | None:
    """The form that a model's name asks for.

    Raises:
        BenchError: there is none of that name.
    """
    form = parted(name)[1]
    if form is None:
        return None
    if form not in forms:
        known = nearest(form, forms) if forms else "no forms of the input are given."
        raise BenchError(f"'{name}' asks for the input '{form}', which is none: {known}")
    return forms[form]
