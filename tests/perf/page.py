"""Every kept ratio over the commits, as one figure: writes docs/design/ratios.svg.

    python tests/perf/page.py

A panel a ratio, a point a record in the order in which they were kept, a bar from its least to its largest sample, a
colour a processor. A ratio is how many times faster bench is than what stands beside it: a fall is a loss of speed.
"""

from pathlib import Path

import altair as alt
from history import HISTORY, read

from bench.figures.figure import Figure, data

TARGET = Path(__file__).parents[2] / "docs" / "design" / "ratios.svg"


def figure(history: Path = HISTORY) -> Figure:
    rows = [
        {
            "about": f"{record.script.partition('.py')[0]}: {name}",
            "commit": f"{number}. {record.commit[:8]}",
            "processor": record.machine["processor"],
            "ratio": ratio.median,
            "least": ratio.min,
            "most": ratio.max,
        }
        for number, record in enumerate(read(history), start=1)
        for name, ratio in record.ratios.items()
    ]
    base = alt.Chart(data(rows)).encode(
        x=alt.X("commit:N", sort=None, title=None), color=alt.Color("processor:N", title="processor")
    )
    bars = base.mark_rule().encode(y=alt.Y("least:Q", title="times faster"), y2="most:Q")
    points = base.mark_line(point=True).encode(y="ratio:Q")
    panels = (bars + points).properties(width=240, height=110)
    chart = panels.facet(facet=alt.Facet("about:N", title=None, sort=None), columns=2).resolve_scale(y="independent")
    return Figure(
        name="ratios",
        title="How many times faster bench is, over the commits",
        subtitle="Medians and ranges of samples, both sides in turn in one run",
        caption="A panel for each ratio of speed, a point for each commit at which it was measured.",
        chart=chart,
    )


if __name__ == "__main__":
    TARGET.write_bytes(figure().svg())
    print(TARGET)
