"""What the plots of all pages have in common, as Vega-Lite specifications."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import altair as alt

Spec = dict[str, Any]

HEIGHT_PX = 260
# Of so many images at most, bars of so many points: few images in narrow bars show nothing but chance.
_BAR_WIDTHS = ((500, 5), (5_000, 2), (math.inf, 1))


def bar_width(num_images: int) -> int:
    """Points."""
    return next(width for most, width in _BAR_WIDTHS if num_images <= most)


def timeline(rates: Sequence[tuple[float, float]]) -> Spec:
    """Images per second over the time of a run."""
    steps = [
        {"begin": begin, "minutes": end, "rate": rate} for (begin, _), (end, rate) in pairwise([(0.0, 0.0), *rates])
    ]
    chart = (
        alt.Chart(alt.Data(values=steps))
        .mark_rect(opacity=0.85)
        .encode(
            x=alt.X("begin:Q", title="minutes since the first worker began", axis=alt.Axis(grid=False)),
            x2="minutes:Q",
            y=alt.Y("rate:Q", title="images/s", scale=alt.Scale(zero=True)),
            y2=alt.datum(0),
            tooltip=[
                alt.Tooltip("minutes:Q", title="minutes", format=".2f"),
                alt.Tooltip("rate:Q", title="images/s", format=".1f"),
            ],
        )
    )
    return specification(chart, height=140)


def specification(chart: alt.Chart | alt.LayerChart, height: int = HEIGHT_PX) -> Spec:
    """Of a plot as wide as its element; the height is in pixels."""
    spec: Spec = chart.properties(width="container", height=height).to_dict()
    del spec["config"]  # the page's
    return spec
