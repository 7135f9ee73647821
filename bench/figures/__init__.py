"""Figures: one declarative definition, drawn as PNG and SVG and as an interactive page that needs no network.

In use:

    import altair as alt
    from bench.figures import Figure, data

    chart = alt.Chart(data(rows)).mark_point().encode(x=alt.X("latency_ms:Q", title="…"), y="f1:Q", tooltip=["name:N"])
    Figure("front", "What it shows", "n = 600 rows, 5 seeds", "What is to be seen.", chart).files()
"""

from bench.figures.figure import Figure, data, drawn
from bench.figures.theme import BLACK, BLUE, GREEN, GREY, ORANGE, PALETTE, PURPLE, SKY, VERMILION, YELLOW

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PALETTE",
    "PURPLE",
    "SKY",
    "VERMILION",
    "YELLOW",
    "Figure",
    "data",
    "drawn",
]
