"""How sure the chosen candidate may be: what it answers, and how well, where it answers only what it is sure of."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bench.evaluation.sureness import OUT_OF_FOLD, TEST, Calibrated, Sureness, reliability_of, risk_coverage
from bench.figures import BLUE, GREY, VERMILION, Figure, data
from bench.measures import Predictions
from bench.metrics import wilson

FEWEST = 0.02
"""The least share of rows that is drawn: of fewer an accuracy jumps."""
MOST_POINTS = 400
BEFORE, AFTER = "as the head says it", "calibrated"
FLOOR, LINE = -0.2, 0.08
"""Below the axis there is room for a line of counts a side."""
HUES = {OUT_OF_FOLD: BLUE, TEST: VERMILION}


def sure_in_words(found: Sureness) -> list[str]:
    """What a person should know of the probabilities, a sentence each."""
    errors = found.errors
    return [
        f"An export answers with probabilities at the temperature {found.temperature:.3g}, found on the training rows "
        "out of fold; it changes no label. Expected calibration error: "
        + "; ".join(f"{side} {each.before:.3f} before, {each.after:.3f} after" for side, each in errors.items())
        + ".",
        *_choices(found),
    ]


def _choices(found: Sureness) -> Iterator[str]:
    base = f"Answering every text it is right about {found.accuracy[OUT_OF_FOLD]:.1%} out of fold"
    if not found.thresholds:
        yield f"{base}; no threshold keeps a higher accuracy on rows enough to show it."
        return
    yield (
        f"{base} and {found.accuracy[TEST]:.1%} on the test set. The thresholds below "
        "are chosen out of fold, and tried on the test set."
    )


def sure_chart(said: Mapping[str, Sequence[Predictions]], found: Sureness, words: str) -> Figure:
    """Accuracy of what is answered by the share that is, on both sides, with the thresholds to choose from."""
    import altair as alt

    hue = alt.Color("side:N", title=None, scale=alt.Scale(domain=[*HUES], range=[*HUES.values()]))
    across = alt.X("coverage:Q", title="share of texts that is answered", axis=alt.Axis(format="%"))
    up = alt.Y("accuracy:Q", title="accuracy of the answers", axis=alt.Axis(format="%"), scale=alt.Scale(zero=False))
    told = [
        "side:N",
        alt.Tooltip("probability:Q", title="reject below", format=".4f"),
        alt.Tooltip("coverage:Q", title="answered", format=".1%"),
        alt.Tooltip("accuracy:Q", title="right", format=".2%"),
    ]
    base = alt.Chart(data(_points(said))).encode(x=across, y=up, color=hue)
    layers = [
        base.mark_line(interpolate="step-before", strokeWidth=2),
        base.mark_point(opacity=0, size=60).encode(tooltip=told),
    ]
    if marks := _marks(found):
        chosen = alt.Chart(data(marks)).mark_point(filled=True, size=70, opacity=1)
        layers.append(chosen.encode(x=across, y=up, color=hue, tooltip=told))
    chart = alt.layer(*layers)
    areas = ", ".join(f"{each:.4f} {side}" for side, each in found.areas.items())
    return Figure(
        name="sure",
        title="What is answered, and how well, where unsure texts are rejected",
        subtitle=words,
        caption="To the left only what the candidate is surest of is answered. Points are the thresholds of the "
        f"table, chosen out of fold. The area between the line and 100 %, less is better: {areas}.",
        chart=chart.properties(height=260),
    )


def reliability_chart(both: Calibrated, found: Sureness, words: str) -> Figure:
    """Accuracy by confidence, before and after calibration, with the rows of each bin."""
    import altair as alt

    hue = alt.Color(
        "side:N",
        scale=alt.Scale(domain=[*HUES], range=[*HUES.values()]),
        legend=alt.Legend(title=None, symbolOpacity=1),
    )
    inside = alt.Fill("inside:N", legend=None, scale=None)
    across = alt.X("confidence:Q", title="mean probability of the answers in a bin", scale=alt.Scale(domain=[0, 1]))
    up = alt.Y(
        "accuracy:Q",
        title="share that is right",
        scale=alt.Scale(domain=[FLOOR, 1], nice=False),
        axis=alt.Axis(values=[0, 0.2, 0.4, 0.6, 0.8, 1]),
    )
    area = alt.Size("rows:Q", legend=None, scale=alt.Scale(type="sqrt", range=[10, 260], domainMin=0))
    told = [
        "side:N",
        "when:N",
        alt.Tooltip("rows:Q", title="rows", format=",.0f"),
        alt.Tooltip("confidence:Q", title="mean probability", format=".3f"),
        alt.Tooltip("accuracy:Q", title="right", format=".3f"),
        alt.Tooltip("low:Q", title="95% from", format=".3f"),
        alt.Tooltip("high:Q", title="to", format=".3f"),
    ]
    points = _bins(both)
    after = [each for each in points if each["when"] == AFTER]
    counts = [{**each, "accuracy": FLOOR + LINE * (2 if each["side"] == OUT_OF_FOLD else 1)} for each in after]
    ideal = alt.Chart(data([{"confidence": end, "accuracy": end} for end in (0, 1)]))
    chart = alt.layer(
        ideal.mark_line(color=GREY, strokeWidth=1).encode(x=across, y=up),
        alt.Chart(data(after)).mark_rule(opacity=0.35).encode(x=across, y=alt.Y("low:Q"), y2="high:Q", color=hue),
        alt.Chart(data(points))
        .mark_point(opacity=1, strokeWidth=1.5)
        .encode(x=across, y=up, color=hue, fill=inside, size=area, tooltip=told),
        alt.Chart(data(counts)).mark_text(fontSize=10).encode(x=alt.X("middle:Q"), y=up, color=hue, text="count:N"),
    )
    errors = "; ".join(
        f"{side} {each.before:.3f} before, {each.after:.3f} after" for side, each in found.errors.items()
    )
    return Figure(
        name="reliability",
        title="Whether probabilities mean what they say",
        subtitle=f"{words}. Filled: calibrated, with 95% intervals over rows, or their groups; hollow: as the head "
        "says it. Below: rows of each bin",
        caption="On the grey line, what is said to be 80 % probable is right in 80 of 100. Expected calibration error, "
        f"the mean distance from the line over rows: {errors}.",
        chart=chart.properties(height=320),
    )


def _bins(both: Calibrated) -> list[dict[str, Any]]:
    """A point a bin that is not empty; rows are those of one repetition, in the mean."""
    points = []
    for when, said in ((BEFORE, both.before), (AFTER, both.after)):
        for side, predictions in said.items():
            bins, units = reliability_of(predictions), _units_of(predictions)
            for place in np.flatnonzero(bins.rows):
                rows, right = bins.rows[place] / len(predictions), float(bins.accuracy[place])
                span = wilson(right, rows * units)
                points.append(
                    {
                        "side": side,
                        "when": when,
                        "inside": "white" if when == BEFORE else HUES[side],
                        "rows": rows,
                        "count": f"{rows:.0f}" if rows < 1000 else f"{rows / 1000:.1f}k",
                        "confidence": bins.confidence[place],
                        "accuracy": right,
                        "low": span.low,
                        "high": span.high,
                        "middle": (place + 0.5) / len(bins.rows),
                    }
                )
    return points


def _units_of(predictions: Sequence[Predictions]) -> float:
    """Groups a row, where rows belong together: so much counts a row for an interval."""
    shares = [1.0 if each.groups is None else len(np.unique(each.groups)) / len(each.truth) for each in predictions]
    return float(np.mean(shares))


def _points(said: Mapping[str, Sequence[Predictions]]) -> list[dict[str, Any]]:
    rows = []
    for side, predictions in said.items():
        curve = risk_coverage(predictions)
        step = max(1, len(curve.coverage) // MOST_POINTS)
        places = sorted({*range(0, len(curve.coverage), step), len(curve.coverage) - 1})
        rows += [
            {
                "side": side,
                "coverage": float(curve.coverage[place]),
                "accuracy": float(curve.accuracy[place]),
                "probability": float(curve.thresholds[place]),
            }
            for place in places
            if curve.coverage[place] >= FEWEST
        ]
    return rows


def _marks(found: Sureness) -> list[dict[str, Any]]:
    sides = (
        (OUT_OF_FOLD, lambda each: (each.coverage, each.accuracy)),
        (TEST, lambda each: (each.test_coverage, each.test_accuracy)),
    )
    return [
        {"side": side, "coverage": at(each)[0], "accuracy": at(each)[1], "probability": each.probability}
        for side, at in sides
        for each in found.thresholds
        if at(each)[1] is not None
    ]
