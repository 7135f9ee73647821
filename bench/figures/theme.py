"""One look for every figure."""

from typing import Any

BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
PURPLE, SKY, BLACK, YELLOW, GREY = "#CC79A7", "#56B4E9", "#000000", "#F0E442", "#8C8C8C"
PALETTE = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK, YELLOW)
"""Okabe and Ito's colours, which colour-blind people can tell apart (https://jfly.uni-koeln.de/color/)."""

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
INK, FAINT = "#222222", "#E4E4E4"

CONFIG: dict[str, Any] = {
    "font": FONT,
    "background": "white",
    "view": {"stroke": None},
    "title": {
        "anchor": "start",
        "frame": "group",
        "fontSize": 15,
        "fontWeight": 600,
        "color": INK,
        "subtitleFontSize": 12,
        "subtitleColor": "#555555",
        "subtitlePadding": 4,
        "offset": 12,
    },
    "axis": {
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelColor": INK,
        "titleColor": INK,
        "gridColor": FAINT,
        "domainColor": "#999999",
        "tickColor": "#999999",
        "labelLimit": 260,
        "labelFlush": False,
    },
    "axisQuantitative": {"tickCount": 8},
    "legend": {
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelColor": INK,
        "titleColor": INK,
        "labelLimit": 300,
        "orient": "bottom",
        "columns": 2,
        "symbolStrokeWidth": 2,
    },
    "header": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelColor": INK},
    "range": {"category": list(PALETTE), "heatmap": {"scheme": "blues"}, "ramp": {"scheme": "blues"}},
}
"""Vega-Lite's `config`: readable sizes, quiet axes, and legends below, where a telephone has room for them."""
