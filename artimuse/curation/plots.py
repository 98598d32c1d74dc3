"""The plots of the pages, as Vega-Lite specifications. Colours and fonts are the page's own, in light and dark."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from artimuse.curation.comparison import Difference
from artimuse.curation.measures import Distribution
from artimuse.curation.page_facts import PageFacts, Row

Spec = dict[str, Any]

HEIGHT_PX = 240
# Of so many images at most, bars of so many points: few images in narrow bars show nothing but chance.
_BAR_WIDTHS = ((500, 5), (5_000, 2), (float("inf"), 1))


def histogram(facts: PageFacts) -> Spec:
    """Images by score. What a selection keeps stands out of all; several tables have a colour each."""
    names = list(facts.quantiles)
    has_kept = any(row["kind"] == "kept" for row in facts.histogram)
    width = next(width for most, width in _BAR_WIDTHS if facts.num_scored <= most)
    counts = Counter[tuple[str, int]]()
    for row in facts.histogram:
        if len(names) == 1 or row["kind"] == ("kept" if has_kept else "all"):
            shown = row["kind"] if len(names) == 1 else row["table_name"]
            counts[shown, row["low"] // width * width] += row["count"]
    bars = [
        {"shown": shown, "low": low, "high": low + width, "count": count, "none": 0}
        for (shown, low), count in sorted(counts.items())
    ]
    chart = alt.Chart(alt.Data(values=bars)).mark_rect(opacity=0.9 if len(names) == 1 else 0.55)
    is_told_apart = len(names) > 1 or has_kept
    domain = names if len(names) > 1 else ["all", "kept"] if has_kept else ["all"]
    chart = chart.encode(
        x=alt.X("low:Q", title="score, points", scale=alt.Scale(domain=[0, 100]), axis=alt.Axis(grid=False)),
        x2="high:Q",
        y=alt.Y("count:Q", title="images"),
        y2="none:Q",
        color=alt.Color(
            "shown:N", title=None, legend=alt.Legend() if is_told_apart else None, scale=alt.Scale(domain=domain)
        ),
        tooltip=[
            alt.Tooltip("low:Q", title="score from"),
            alt.Tooltip("high:Q", title="to"),
            alt.Tooltip("count:Q", title="images", format=","),
        ],
    )
    return _spec(chart)


def histogram_of_both(a: Distribution, b: Distribution) -> Spec:
    """Share of the images by score, so that tables of different sizes can be compared."""
    fewest = min(a.num_images, b.num_images)
    width = next(width for most, width in _BAR_WIDTHS if fewest <= most)
    bars = []
    for name, distribution in (("A", a), ("B", b)):
        lows = np.minimum(distribution.scores_V // width * width, 100 - width).astype(int)
        shares = np.bincount(lows, distribution.counts_V) / distribution.num_images
        bars += [
            {"table": name, "low": int(low), "high": int(low) + width, "share": round(shares[low], 6), "none": 0}
            for low in np.flatnonzero(shares)
        ]
    chart = alt.Chart(alt.Data(values=bars)).mark_rect(opacity=0.55)
    chart = chart.encode(
        x=alt.X("low:Q", title="score, points", scale=alt.Scale(domain=[0, 100]), axis=alt.Axis(grid=False)),
        x2="high:Q",
        y=alt.Y("share:Q", title="share of the images", axis=alt.Axis(format="~%")),
        y2="none:Q",
        color=alt.Color("table:N", title=None, scale=alt.Scale(domain=["A", "B"]), legend=alt.Legend(orient="top")),
        tooltip=[
            alt.Tooltip("table:N"),
            alt.Tooltip("low:Q", title="score from"),
            alt.Tooltip("high:Q", title="to"),
            alt.Tooltip("share:Q", title="share of its images", format=".2%"),
        ],
    )
    return _spec(chart)


def differences(distribution: Distribution, difference: Difference, noun: str) -> Spec:
    """Pairs by score of B minus score of A, with the mean and its interval."""
    of_pairs, of_mean = noun, "mean and its 95 % interval"
    legend = alt.Legend(orient="top", labelLimit=240)
    colour = alt.Color("shown:N", title=None, scale=alt.Scale(domain=[of_pairs, of_mean]), legend=legend)
    bars = [
        {"shown": of_pairs, "low": low, "high": low + distribution.width, "count": count, "none": 0}
        for low, count in zip(distribution.scores_V.tolist(), distribution.counts_V.tolist())
    ]
    mean = {"shown": of_mean, "low": difference.low, "high": difference.high, "mean": difference.mean}
    x = alt.X("low:Q", title="score of B minus score of A, points", axis=alt.Axis(grid=False))
    counted = [
        alt.Tooltip("low:Q", title="from"),
        alt.Tooltip("high:Q", title="to"),
        alt.Tooltip("count:Q", format=","),
    ]
    said = [alt.Tooltip(f"{name}:Q", format=".4f") for name in ("mean", "low", "high")]
    base = alt.Chart(alt.Data(values=bars)).mark_rect(opacity=0.7)
    of_one = alt.Chart(alt.Data(values=[mean]))
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(strokeDash=[3, 3], opacity=0.6)
    return _spec(
        base.encode(x=x, x2="high:Q", y=alt.Y("count:Q", title=noun), y2="none:Q", color=colour, tooltip=counted)
        + zero.encode(x="zero:Q")
        + of_one.mark_rect(opacity=0.3).encode(x="low:Q", x2="high:Q", color=colour, tooltip=said)
        + of_one.mark_rule(strokeWidth=2.5).encode(x="mean:Q", color=colour, tooltip=said)
    )


def uncertainty(rows: Sequence[Row]) -> Spec:
    """Where the model is sure: a square for each 2 points of score and 1 point of standard deviation."""
    squares = [row | {"score_end": row["score"] + 2, "std_end": row["score_std"] + 1} for row in rows]
    chart = (
        alt.Chart(alt.Data(values=squares))
        .mark_rect()
        .encode(
            x=alt.X("score:Q", title="score, points", scale=alt.Scale(domain=[0, 100]), axis=alt.Axis(grid=False)),
            x2="score_end:Q",
            y=alt.Y("score_std:Q", title="standard deviation, points"),
            y2="std_end:Q",
            color=alt.Color("count:Q", title="images", scale=alt.Scale(type="log"), legend=alt.Legend(format=",d")),
            tooltip=[
                alt.Tooltip("score:Q", title="score from"),
                alt.Tooltip("score_std:Q", title="standard deviation from"),
                alt.Tooltip("count:Q", title="images", format=","),
            ],
        )
    )
    return _spec(chart)


def groups(rows: Sequence[Row], by: str) -> Spec:
    """A line from the 5 % to the 95 % quantile of each value, a bar for the middle half, a dot for the median."""
    shown = [row | {"value": str(row["value"])[:60]} for row in rows]
    base = alt.Chart(alt.Data(values=shown))
    y = alt.Y("value:N", title=by, sort=[row["value"] for row in shown], axis=alt.Axis(labelLimit=220))
    tooltip = [
        alt.Tooltip("value:N", title=by),
        alt.Tooltip("count:Q", title="images", format=","),
        alt.Tooltip("mean:Q", title="mean", format=".1f"),
        alt.Tooltip("q50:Q", title="median", format=".1f"),
    ]
    scale = alt.Scale(domain=[0, 100])
    line = base.mark_rule(strokeWidth=1.5).encode(
        x=alt.X("q05:Q", title="score, points", scale=scale), x2="q95:Q", y=y, tooltip=tooltip
    )
    bar = base.mark_bar(height=12, opacity=0.5).encode(x=alt.X("q25:Q", scale=scale), x2="q75:Q", y=y, tooltip=tooltip)
    dot = base.mark_point(filled=True, size=70, opacity=1).encode(x=alt.X("q50:Q", scale=scale), y=y, tooltip=tooltip)
    return _spec(line + bar + dot, height={"step": 30})


def timeline(points: Sequence[Row]) -> Spec:
    """Images per second over the time of the run."""
    chart = (
        alt.Chart(alt.Data(values=list(points)))
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(
            x=alt.X("minutes:Q", title="minutes since the first worker began", axis=alt.Axis(grid=False)),
            y=alt.Y("images_per_s:Q", title="images/s", scale=alt.Scale(zero=True)),
            tooltip=[
                alt.Tooltip("minutes:Q", format=".1f"),
                alt.Tooltip("images_per_s:Q", title="images/s", format=".1f"),
            ],
        )
    )
    return _spec(chart, height=140)


def _spec(chart: alt.Chart | alt.LayerChart, height: Any = HEIGHT_PX) -> Spec:
    spec: Spec = chart.properties(width="container", height=height).to_dict()
    spec.pop("config", None)
    return spec
