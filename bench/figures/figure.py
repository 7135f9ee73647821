"""A figure and its forms: PNG, SVG, PDF for a paper, and a page of its own."""

import math
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from xml.etree import ElementTree

import numpy as np

from bench.figures.page import page, template
from bench.figures.theme import CONFIG
from bench.progress import attempted

if TYPE_CHECKING:
    import altair as alt
    from markupsafe import Markup

D = TypeVar("D")
Chart = Any
"""Any of Altair's charts: altair has no common base that carries `to_dict` with its types."""
CHARACTER, TITLE_CHARACTER = 6.2, 8.4
"""Pixels that a character of a subtitle and of a title takes, about."""
PRINTED = 260
"""Pixels between the axes of a figure for a column: its letters then come out at about eight points."""
UNDRAWABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
PAIRED = re.compile(r"[\U00010000-\U0010ffff]")
"""What UTF-16 writes as two units."""
COLUMN, PAGE = 218.0, 453.0
"""Points: a column of a paper in two columns and its whole width, 7.7 and 16 cm as the ACL's style has them."""
COMPOSED = ("facet", "repeat", "concat", "hconcat", "vconcat")


@dataclass(frozen=True)
class Figure:
    """One definition of a figure.

    `name` is the stem of its files. `title` says what is shown, `subtitle` n, the seeds and what bars or bands mean;
    both are drawn in the images, and are text beside the chart on a page, where they can wrap. `caption` says in
    words what is to be seen: it is the alternative text too. `chart` is Altair's, without a title, its axes labelled
    with units, and its data given by `data`. `width` (pixels) is that of the images; a page gives a chart of one view
    the room that there is.
    """

    name: str
    title: str
    subtitle: str
    caption: str
    chart: Chart
    width: int = 640

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][\w.-]*", self.name, re.ASCII):
            raise ValueError(f"'{self.name}' cannot be the name of a figure: it names files and a place in a page")

    @property
    def spec(self) -> dict[str, Any]:
        """The Vega-Lite specification of the images: data, title and theme included, no address to load from."""
        text = textwrap.wrap(_drawable(self.title), int(self.width / TITLE_CHARACTER))
        subtitle = textwrap.wrap(_drawable(self.subtitle), int(self.width / CHARACTER))
        return {**self._untitled, "title": {"text": text, "subtitle": subtitle}}

    @property
    def _untitled(self) -> dict[str, Any]:
        spec = self._plain
        return {**spec, **self._sized(spec, self.width)}

    @property
    def responsive_spec(self) -> dict[str, Any]:
        """The specification for a page: no title, and as wide as its place where the chart is of one view."""
        spec = self._plain
        # 'fit-x' lets axes and legends have their room inside the width; composed charts cannot do that
        fitted: dict[str, Any] = {"autosize": {"type": "fit-x", "contains": "padding"}}
        return {**spec, **self._sized(spec, "container"), **({} if _composed(spec) else fitted)}

    @cached_property
    def _svg(self) -> str:
        return _drawn(self.spec)

    def svg(self, *, titled: bool = True) -> bytes:
        """A standalone SVG file; without title and subtitle where the text around it has them."""
        return (self._svg if titled else _drawn(self._untitled)).encode()

    def png(self, scale: float = 2.0) -> bytes:
        """A PNG file of `scale` pixels for each of the figure's own."""
        from vl_convert import svg_to_png

        return bytes(svg_to_png(self._svg, scale=scale))

    def pdf(self) -> bytes:
        """A PDF page for a paper, without title and subtitle, which a caption says there.

        As wide as a column, or, where the chart is of several views, as the page.
        """
        from vl_convert import svg_to_pdf

        spec = self._plain
        composed = _composed(spec)
        svg = ElementTree.fromstring(_drawn({**spec, **self._sized(spec, PRINTED)}))  # noqa: S314 - our own
        wide, high = float(svg.attrib["width"]), float(svg.attrib["height"])
        scale = (PAGE if composed else COLUMN) / wide
        # what is drawn keeps its own units, which the view box says
        svg.attrib |= {"width": f"{scale * wide:g}", "height": f"{scale * high:g}", "viewBox": f"0 0 {wide:g} {high:g}"}
        return bytes(svg_to_pdf(ElementTree.tostring(svg, encoding="unicode")))

    def _repr_svg_(self) -> str:
        """What a notebook shows."""
        return self._svg

    def html(self) -> str:
        """A page of this figure alone, which opens from disk and loads nothing."""
        return page(self.title, self.embed())

    def embed(self) -> "Markup":
        """The figure as part of a page made by `bench.figures.page.page`: live, and still where it is printed."""
        return template("figure.html", figure=self)

    def files(self) -> dict[str, bytes]:
        """File name → content: the page, the PNG, the SVG and the PDF."""
        return {
            f"{self.name}.html": self.html().encode(),
            f"{self.name}.png": self.png(),
            f"{self.name}.svg": self.svg(),
            f"{self.name}.pdf": self.pdf(),
        }

    @cached_property
    def _plain(self) -> dict[str, Any]:
        spec: dict[str, Any] = _drawable(self.chart.to_dict())
        config = {**CONFIG, **{key: value for key, value in spec.get("config", {}).items() if key not in _DEFAULTS}}
        return {**spec, "config": config, "description": _drawable(f"{self.title}. {self.caption}")}

    @staticmethod
    def _sized(spec: Mapping[str, Any], width: int | str) -> dict[str, Any]:
        return {} if _composed(spec) else {"width": width}


def _drawn(spec: dict[str, Any]) -> str:
    from vl_convert import vegalite_to_svg

    try:
        return vegalite_to_svg(spec, allowed_base_urls=[])  # a figure holds its data, and may ask for nothing else
    except ValueError:
        # a label that is too long is cut between any two UTF-16 units, of which half a character cannot be measured
        narrow = _drawable(spec, PAIRED)
        if narrow == spec:
            raise
        return vegalite_to_svg(narrow, allowed_base_urls=[])


def _drawable(value: Any, unknown: re.Pattern[str] = UNDRAWABLE) -> Any:
    """The same with every character that an SVG file or an expression of Vega could not hold shown as unknown."""
    if isinstance(value, str):
        return unknown.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, dict):
        return {_drawable(key, unknown): _drawable(item, unknown) for key, item in value.items()}
    return [_drawable(item, unknown) for item in value] if isinstance(value, list) else value


_DEFAULTS = ("view",)
"""What Altair's own default theme sets."""


def _composed(spec: Mapping[str, Any]) -> bool:
    return any(key in spec for key in COMPOSED) or any(key in spec.get("encoding", {}) for key in ("row", "column"))


def drawn(draw: Callable[[], D], what: str, warn: Callable[[str], None]) -> D | None:
    """What `draw` gives, or None with a warning: what was computed is not lost because it cannot be drawn."""
    return attempted(draw, f"{what} could not be drawn", warn)


def data(rows: Iterable[Mapping[str, Any]]) -> "alt.InlineData":
    """Rows (column → text, number, truth value or None) as Altair's data; what is not a number is null.

    Give the type with each encoding (``"f1:Q"``): nothing is inferred from the values.
    """
    import altair as alt

    return alt.InlineData(values=[{key: _plain_value(value) for key, value in row.items()} for row in rows])


def _plain_value(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
