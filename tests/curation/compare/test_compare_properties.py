"""A comparison of random tables is what a plain Python model says."""

import io
import shutil
from collections import defaultdict
from pathlib import Path
from statistics import fmean, median
from tempfile import mkdtemp
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from artimuse.configs.compare import CompareConfig
from artimuse.curation.compare.comparison import CompareReport
from artimuse.curation.compare.run import run
from artimuse.errors import BadInput
from tests.curation.score_tables import write_table

COLUMNS = pa.schema([("prompt", pa.string()), ("style", pa.string())])

Row = dict[str, Any]
Tables = tuple[list[Row], list[Row]]

rows = st.lists(
    st.fixed_dictionaries(
        {
            "score": st.one_of(st.none(), st.integers(0, 800).map(lambda eighth: eighth / 8)),
            "prompt": st.sampled_from([None, "", "a", "b", "it's", "\x00", "c"]),
            "style": st.sampled_from([None, "x", "y", "z"]),
            "sha256": st.sampled_from([None, *"pqrstuvw"]),
        }
    ),
    min_size=2,
    max_size=20,
)


def means(table: list[Row], key: str) -> dict[str, float | None]:
    """The mean score of each value of the key; None if all of its images have failed."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in table:
        if row[key]:
            found[row[key]] += [] if row["score"] is None else [row["score"]]
    return {value: fmean(scores) if scores else None for value, scores in found.items()}


class Model:
    """Both tables paired by a key."""

    def __init__(self, tables: Tables, key: str) -> None:
        self.tables = tables
        self.key = key
        self.a, self.b = (means(table, key) for table in tables)
        both = self.a.keys() & self.b.keys()
        self.pairs = {v: (self.a[v], self.b[v]) for v in both if self.a[v] is not None and self.b[v] is not None}
        self.differences = [b - a for a, b in self.pairs.values()]

    @property
    def num_images(self) -> list[int]:
        return [sum(row[self.key] in self.pairs for row in scored(table)) for table in self.tables]

    @property
    def num_clusters(self) -> int:
        """Pairs whose images all have the same prompt belong to it; a single cluster is taken apart."""
        clusters = set()
        for value in self.pairs:
            prompts = {row["prompt"] for table in self.tables for row in table if row[self.key] == value} - {None, ""}
            clusters.add(("prompt", *prompts) if len(prompts) == 1 and self.key != "prompt" else ("own", value))
        return len(clusters) if len(clusters) > 1 else len(self.pairs)

    @property
    def fits(self) -> bool:
        shares = [num / len(scored(table)) for num, table in zip(self.num_images, self.tables)]
        return len(self.pairs) >= 2 and max(shares) >= 0.5


def scored(table: list[Row]) -> list[Row]:
    return [row for row in table if row["score"] is not None]


def compared(tables: Tables, by: str | None) -> CompareReport:
    folder = Path(mkdtemp(prefix="artimuse-test-"))
    try:
        for name, table in zip("ab", tables):
            write_table(folder / name, table, passthrough=COLUMNS)
        config = CompareConfig(table_a=str(folder / "a"), table_b=str(folder / "b"), by=by)
        return run(config, Console(file=io.StringIO()))
    finally:
        shutil.rmtree(folder)


def check(report: CompareReport, model: Model) -> None:
    pairs = report.pairs
    assert (pairs.by, pairs.num_pairs) == (model.key, len(model.pairs))
    assert pairs.num_only_a == len(model.a.keys() - model.b.keys())
    assert pairs.num_only_b == len(model.b.keys() - model.a.keys())
    assert pairs.num_unscored == len(model.a.keys() & model.b.keys()) - len(model.pairs)
    assert [pairs.num_images_a, pairs.num_images_b] == model.num_images
    assert report.difference.mean == pytest.approx(fmean(model.differences), abs=1e-5)
    assert report.difference.num_independent == model.num_clusters
    assert report.shares.better == pytest.approx(fmean(d > 1e-9 for d in model.differences))
    assert report.shares.worse == pytest.approx(fmean(d < -1e-9 for d in model.differences))
    largest = sorted((d for d in model.differences if d > 1e-9), reverse=True)[:5]
    assert [pair.difference for pair in report.largest_better] == pytest.approx(largest, abs=1e-5)
    for pair in (*report.largest_better, *report.largest_worse):
        assert (pair.a.score, pair.b.score) == pytest.approx(model.pairs[pair.value])


@settings(max_examples=25, deadline=None)
@given(st.tuples(rows, rows), st.sampled_from([None, "prompt", "style", "sha256"]))
def test_a_comparison_is_what_the_model_says(tables: Tables, by: str | None):
    models = {key: Model(tables, key) for key in ("sha256", "prompt", "style")}
    if any(len(scored(table)) < 2 for table in tables) or (by and len(models[by].pairs) < 2):
        with pytest.raises(BadInput, match="needs two or more"):
            compared(tables, by)
        return
    report = compared(tables, by)
    for side, table in zip((report.a, report.b), tables):
        assert (side.num_images, side.num_scored) == (len(table), len(scored(table)))
        assert side.median == pytest.approx(median(row["score"] for row in scored(table)))
        assert side.mean == pytest.approx(fmean(row["score"] for row in scored(table)))
    key = by or next((key for key in ("sha256", "prompt") if models[key].fits), None)
    assert report.difference.low <= report.difference.mean <= report.difference.high
    if key is None:
        assert report.pairs is None
        means = [fmean(row["score"] for row in scored(table)) for table in tables]
        assert report.difference.mean == pytest.approx(means[1] - means[0], abs=1e-5)
    else:
        check(report, models[key])
