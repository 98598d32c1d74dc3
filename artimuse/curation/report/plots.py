"""The plots of the page, as Vega-Lite specifications.

Colours and fonts are the page's own: its script knows light from dark. Colours here are names of what they stand for.
"""

from collections.abc import Iterable, Mapping, Sequence

import altair as alt

from artimuse.curation.pages.plots import Spec, bar_width, specification
from artimuse.curation.pages.values import shown
from artimuse.curation.report.facts import SCORE_STEP, STD_STEP, Groups, Row, TableFacts, bars

ALL, KEPT = "all", "kept"
_LABEL_CHARS = 60
_LABEL = "labels[datum.value]"
_GROUP_PX = 32
# Points; closer together, the names of the quantiles would lie on each other.
_LEAST_SPREAD = 15
_POINTS = alt.Scale(domain=[0, 100])
_TENS = alt.Axis(grid=False, values=list(range(0, 101, 10)))


def scores(tables: Mapping[str, TableFacts]) -> Spec:
    """Images by score.

    Of one table with a selection, what is kept stands out of all; of several tables each has a line.
    """
    return _lines(tables) if len(tables) > 1 else _bars(next(iter(tables.values())))


def _bars(facts: TableFacts) -> Spec:
    series = {ALL: facts.scores} | ({KEPT: facts.kept} if facts.kept is not None else {})
    width = bar_width(facts.num_scored)
    values = [
        {"low": low, "high": low + width, "images": count, "series": name}
        for name, histogram in series.items()
        for low, count in zip(range(0, 100, width), bars(histogram, width))
        if count
    ]
    is_wide = facts.quantiles["95%"] - facts.quantiles["5%"] >= _LEAST_SPREAD
    names_shown = ("5%", "median", "95%") if is_wide else ("median",)
    quantiles = [{"score": facts.quantiles[name], "name": name} for name in names_shown]
    drawn = (
        alt.Chart(alt.Data(values=values))
        .mark_bar(binSpacing=1, cornerRadiusEnd=2)
        .encode(
            x=alt.X(
                "low:Q",
                bin="binned",
                title="score",
                scale=_POINTS,
                axis=_TENS,
            ),
            x2="high:Q",
            y=alt.Y("images:Q", title="images", stack=None, axis=alt.Axis(tickMinStep=1, tickCount=5)),
            color=alt.Color(
                "series:N",
                title=None,
                scale=alt.Scale(domain=list(series)),
                legend=alt.Legend(orient="top") if len(series) > 1 else None,
            ),
            tooltip=[
                alt.Tooltip("low:Q", title="score from"),
                alt.Tooltip("high:Q", title="to"),
                alt.Tooltip("images:Q", format=","),
            ],
        )
    )
    marks = alt.Chart(alt.Data(values=quantiles)).encode(x=alt.X("score:Q", scale=_POINTS))
    rules = marks.mark_rule(strokeDash=[2, 3])
    # Above the bars, so that they do not hide it.
    names = marks.mark_text(dy=-6, baseline="bottom").encode(y=alt.value(0), text="name:N")
    return specification(drawn + rules + names)


def _lines(tables: Mapping[str, TableFacts]) -> Spec:
    """As shares, so that tables of different sizes can be compared. What is kept, if there is a selection."""
    values: list[Row] = []
    for number, (name, facts) in enumerate(tables.items()):
        counts = bars(facts.scores if facts.kept is None else facts.kept, SCORE_STEP)
        share = 100 / max(1, sum(counts))
        for low, count in zip(range(0, 100, SCORE_STEP), counts):
            row = {"score": low, "share": count * share, "images": count}
            values.append({"number": number, "table": shown(name, _LABEL_CHARS), **row})
    chart = (
        alt.Chart(alt.Data(values=values))
        .mark_area(interpolate="step-after", fillOpacity=0.12, line=True)
        .encode(
            x=alt.X("score:Q", title="score", scale=_POINTS, axis=_TENS),
            y=alt.Y("share:Q", title="% of images", stack=None),
            color=alt.Color(
                "number:N",
                title=None,
                scale=alt.Scale(domain=list(range(len(tables)))),
                legend=alt.Legend(orient="top", labelExpr=_LABEL),
            ),
            tooltip=["table:N", alt.Tooltip("score:Q", title="score from"), alt.Tooltip("images:Q", format=",")],
        )
    )
    return specification(chart) | _labels(tables)


def uncertainty(rows: Sequence[Row]) -> Spec:
    """The spread of each image's score, or how many images have it."""
    base = alt.Chart(alt.Data(values=list(rows)))
    x = alt.X("score:Q", title="score", scale=_POINTS, axis=_TENS)
    y = alt.Y("score_std:Q", title="standard deviation, points")
    if not any("count" in row for row in rows):
        tooltip = [alt.Tooltip("score:Q", format=".1f"), alt.Tooltip("score_std:Q", title="std", format=".1f")]
        return specification(base.mark_circle(opacity=0.55, size=38).encode(x=x, y=y, tooltip=tooltip))
    corners = base.transform_calculate(
        right=f"datum.score + {SCORE_STEP}", top=f"datum.score_std + {STD_STEP}"
    ).mark_rect()
    chart = corners.encode(
        x=x,
        x2="right:Q",
        y=y,
        y2="top:Q",
        color=alt.Color("count:Q", title="images", scale=alt.Scale(type="log"), legend=alt.Legend(format=",d")),
        tooltip=[
            alt.Tooltip("score:Q", title="score from"),
            alt.Tooltip("score_std:Q", title="std from"),
            alt.Tooltip("count:Q", title="images", format=","),
        ],
    )
    return specification(chart)


def groups(found: Groups) -> Spec:
    """For each value a line from the 5 % to the 95 % quantile, a bar for the middle half, and a dot for the median."""
    values: list[Row] = [
        {
            "number": number,
            "value": shown(group.label, _LABEL_CHARS),
            "images": group.count,
            "low": group.quantiles["5%"],
            "q1": group.quantiles["25%"],
            "median": group.quantiles["median"],
            "q3": group.quantiles["75%"],
            "high": group.quantiles["95%"],
        }
        for number, group in enumerate(found.groups)
    ]
    y = alt.Y(
        "number:O",
        title=None,
        axis=alt.Axis(labelLimit=180, ticks=False, domain=False, labelExpr=_LABEL),
    )
    base = alt.Chart(alt.Data(values=values)).encode(
        y=y,
        tooltip=[
            alt.Tooltip("value:N"),
            alt.Tooltip("images:Q", format=","),
            alt.Tooltip("median:Q", format=".1f"),
        ],
    )
    line = base.mark_rule().encode(x=alt.X("low:Q", title="score", scale=_POINTS, axis=_TENS), x2="high:Q")
    middle = base.mark_bar(height=10, opacity=0.35).encode(x=alt.X("q1:Q", scale=_POINTS), x2="q3:Q")
    dot = base.mark_point(filled=True, size=70, opacity=1).encode(x=alt.X("median:Q", scale=_POINTS))
    plot = specification(line + middle + dot, height=_GROUP_PX * len(values))
    return plot | _labels(group.label for group in found.groups)


def _labels(names: Iterable[str]) -> Spec:
    """What _LABEL shows in place of numbers. Names that are cut may be alike: they tell nothing apart."""
    return {"params": [{"name": "labels", "value": [shown(name, _LABEL_CHARS) for name in names]}]}
