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
from bench.specs import Spec

UNIT = "\x1f"
PAIR = "\x1e"
"""Stands between the two texts of a pair, which the tokenizer joins as the model was taught."""
BLANK = "-"
"""What is read of a field that is blank: some tokenizers make no token at all of nothing."""
JOINED = "joined"
PLACE = "{text}"
"""In a prompt, where the text comes; one without it comes before the text."""


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


class Form(Spec):
    """A form of the input as a space names it: what of a row is read, and behind which prompt.

    `fields` are columns of texts; none are all. `prompt` comes before the text, or has it where it says ``{text}``;
    `named` is the name of a prompt in the files that sentence-transformers keeps with a model. Where neither is given
    it is the model's own. `pooled` says whether the prompt's tokens are pooled too, or the text's alone.
    """

    fields: tuple[str, ...] = ()
    separator: str = "\n"
    pair: bool = False
    prompt: str | None = None
    named: str | None = None
    pooled: Literal["all", "text"] = "all"

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
