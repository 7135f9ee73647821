"""One definition, four forms; text from outside stays text in each."""

import json
import re
import xml.etree.ElementTree as ElementTree
from io import BytesIO
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pytest
from browsing import needs_chromium, visit
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.figures import PALETTE, Figure, data
from bench.figures.theme import CONFIG

pytestmark = pytest.mark.pictures

HOSTILE = '</script><script>window.hit=1</script><img src=x onerror="window.hit=2">\'&\u2028\u202eRTL'


def figure(text: str = "plain", **changes: Any) -> Figure:
    rows = [{"x": np.float32(index), "y": index**2, "kind": text if index % 2 else "other"} for index in range(8)]
    chart = (
        alt.Chart(data(rows))
        .mark_point()
        .encode(x=alt.X("x:Q", title="cost (ms)"), y="y:Q", color="kind:N", tooltip=["kind:N"])
        .properties(height=200)
    )
    given = {"name": "demo", "title": f"Title {text}", "subtitle": f"n = 8; {text}", "caption": text} | changes
    return Figure(chart=chart, **given)


def test_a_figure_gives_a_page_and_images_of_the_size_asked_for_the_same_every_time() -> None:
    files = figure().files()
    assert sorted(files) == ["demo.html", "demo.pdf", "demo.png", "demo.svg"]
    small, large = (Image.open(BytesIO(figure().png(scale))) for scale in (1.0, 2.0))
    assert large.width == pytest.approx(2 * small.width, abs=2)
    assert len(large.convert("RGB").getcolors(1 << 24) or ()) > 10, "something is drawn"
    again = figure().files()
    assert {name: again[name] for name in files if name != "demo.pdf"} == {
        name: content for name, content in files.items() if name != "demo.pdf"
    }


def test_a_figure_for_a_paper_is_as_wide_as_a_column_or_the_page() -> None:
    """7.7 and 16 cm, and no title, which stands in the caption."""
    faceted = figure().chart.encode(column="kind:N")
    for chart, wanted in ((figure().chart, 218), (faceted, 453)):
        pdf = Figure("demo", "Title", "n", "caption", chart).pdf()
        box = re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf)
        assert box is not None
        assert float(box[1]) == pytest.approx(wanted, abs=1)
        assert 50 < float(box[2]) < 500


def test_images_carry_title_n_and_units_and_a_page_has_them_as_text() -> None:
    texts = "".join(ElementTree.fromstring(figure().svg()).itertext())
    assert all(part in texts for part in ("Title plain", "n = 8; plain", "cost (ms)"))
    untitled = "".join(ElementTree.fromstring(figure().svg(titled=False)).itertext())
    assert "Title plain" not in untitled
    assert "cost (ms)" in untitled
    assert "<h3>Title plain</h3>" in figure().html()
    assert "title" not in figure().responsive_spec


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64("nan"), np.float32("-inf")])
def test_what_is_not_a_number_is_null(value: float) -> None:
    spec = alt.Chart(data([{"x": value, "y": np.int64(3), "z": np.bool_(True)}])).mark_point().encode(x="x:Q").to_dict()
    assert list(spec["datasets"].values()) == [[{"x": None, "y": 3, "z": True}]]


def test_hostile_text_is_text_in_every_form() -> None:
    made = figure(HOSTILE)
    json.dumps(made.spec, allow_nan=False)
    tree = ElementTree.fromstring(made.svg())
    assert not [each for each in tree.iter() if each.tag.endswith(("script", "image", "foreignObject"))]
    assert "window.hit=1" in "".join(tree.itertext())
    page = made.html()
    assert "<script>window" not in page
    assert "<img src=x" not in page
    assert "\u2028" not in page.partition('<script type="application/json">')[2].partition("</script>")[0]


@settings(max_examples=25)
@given(st.text())
@example("000000000000000@@@@ÀÆÆÆÆÆ𝓶𝓾" * 3)
def test_any_text_can_be_drawn(text: str) -> None:
    chart = alt.Chart(data([{"x": 1, "kind": text}])).mark_point().encode(x="x:Q", y=alt.Y("kind:N", sort=[text, "b"]))
    drawn = Figure("any", "Any", "n = 1", text, chart.properties(height=50)).svg()
    assert ElementTree.fromstring(drawn).tag.endswith("svg")


@pytest.mark.parametrize("name", ["", "../up", "a b", 'x" onload="', "ünter"])
def test_a_name_that_could_not_be_a_file_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a figure"):
        figure(name=name)


def test_a_chart_of_several_views_keeps_its_own_widths() -> None:
    one = alt.Chart(data([{"x": 1}])).mark_point().encode(x="x:Q").properties(width=100)
    both = Figure("both", "Both", "n = 1", "Both.", one | one)
    assert "width" not in both.spec
    assert "autosize" not in both.responsive_spec
    assert Image.open(BytesIO(both.png(1))).width < 400


def test_every_colour_of_the_palette_is_told_apart() -> None:
    assert len(set(PALETTE)) == len(PALETTE) == 8
    assert CONFIG["range"]["category"] == list(PALETTE)


@needs_chromium
@pytest.mark.browser
@pytest.mark.slow
def test_a_page_draws_asks_for_nothing_and_runs_no_script_but_its_own(tmp_path: Path) -> None:
    path = tmp_path / "demo.html"
    # a script that got past the templates would still be stopped by the page's content policy
    path.write_text(figure(HOSTILE).html().replace("</main>", "<script>window.smuggled = 1</script></main>"))
    with visit(path, width=390, height=844) as seen:
        assert seen.drawn()["demo"] > 20
        assert seen.page.evaluate("[window.hit, window.smuggled]") == [None, None]
        assert [url for url in seen.asked if not url.startswith(("file:", "data:"))] == []
        assert all("Content Security Policy" in line for line in seen.said), seen.said
        assert not seen.scrolls_sideways
        assert "<script>window.hit=1</script>" in seen.page.locator("h3").inner_text()
        seen.page.emulate_media(media="print")
        assert seen.page.locator(".still").is_visible()
        assert not seen.page.locator(".live").is_visible()
