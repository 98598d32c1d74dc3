"""The plots of the page about a comparison, as Vega-Lite specifications."""

import altair as alt
import numpy as np

from artimuse.curation.compare.comparison import Difference
from artimuse.curation.compare.measures import Distribution
from artimuse.curation.pages.plots import Spec, bar_width, specification


def histogram_of_both(a: Distribution, b: Distribution) -> Spec:
    """Share of the images by score, so that tables of different sizes can be compared."""
    fewest = min(a.num_images, b.num_images)
    width = bar_width(fewest)
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
    return specification(chart)


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
    return specification(
        base.encode(x=x, x2="high:Q", y=alt.Y("count:Q", title=noun), y2="none:Q", color=colour, tooltip=counted)
        + zero.encode(x="zero:Q")
        + of_one.mark_rect(opacity=0.3).encode(x="low:Q", x2="high:Q", color=colour, tooltip=said)
        + of_one.mark_rule(strokeWidth=2.5).encode(x="mean:Q", color=colour, tooltip=said)
    )
