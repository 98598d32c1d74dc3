"""A selection of random tables is what a plain Python model says."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from artimuse.configs.select import SelectConfig
from artimuse.curation.select.run import run
from tests.curation.score_tables import kept_rows, write_table

COLUMNS = pa.schema([("prompt", pa.string())])

Row = dict[str, Any]
Place = tuple[str, int]

rows = st.lists(
    st.fixed_dictionaries(
        {
            "score": st.one_of(st.none(), st.integers(0, 8).map(lambda eighth: 12.5 * eighth)),
            "score_std": st.sampled_from([2.0, 5.0, 20.0]),
            "prompt": st.sampled_from([None, "a", "b", "it's"]),
            "sha256": st.sampled_from(["x", "y", "z", "w"]),
            "phash": st.sampled_from([0, 1, 0b111, 0b1111111, 2**63]),
        }
    ),
    min_size=1,
    max_size=23,
)
options = st.fixed_dictionaries(
    {},
    optional={
        "where": st.sampled_from(["score >= 50", "score_std < 10 and prompt is not null"]),
        "dedupe": st.sampled_from(["exact", "near"]),
        "near_distance": st.integers(0, 5),
        "best_of": st.just("prompt"),
        "keep": st.integers(1, 3),
        "quota": st.sampled_from(["prompt=a:2,it's:1", "prompt=a:1,*:2"]),
        "rank": st.sampled_from([{"top": 3}, {"top": 1, "per": "prompt"}, {"top_percent": 30.0, "per": "prompt"}]),
        "sample": st.integers(1, 12),
    },
)
CONDITIONS: dict[str, Callable[[Row], bool]] = {
    "score >= 50": lambda row: row["score"] >= 50,
    "score_std < 10 and prompt is not null": lambda row: row["score_std"] < 10 and row["prompt"] is not None,
}


class Model:
    """The rows of all tables, and what is left of them after each step."""

    def __init__(self, tables: dict[str, list[Row]]) -> None:
        places = {(name, number): row for name, table in tables.items() for number, row in enumerate(table)}
        self.dropped: dict[Place, tuple[str, str | None]] = {}
        self.kept = places
        self.keep("failed", lambda place: places[place]["score"] is not None)

    def keep(self, reason: str, stays: Callable[[Place], bool]) -> None:
        for place in [place for place in self.kept if not stays(place)]:
            del self.kept[place]
            self.dropped[place] = (reason, None)

    def best_first(self) -> list[Place]:
        return sorted(self.kept, key=lambda place: (-self.kept[place]["score"], place))

    def groups(self, key: Callable[[Place], Any]) -> dict[Any, list[Place]]:
        groups: dict[Any, list[Place]] = {}
        for place in self.best_first():
            groups.setdefault(key(place), []).append(place)
        return groups

    def keep_first(self, reason: str, key: Callable[[Place], Any], allowed: Callable[[Any, int], float]) -> None:
        """So many of each group."""
        stay = set()
        for value, places in self.groups(key).items():
            stay |= {place for rank, place in enumerate(places, 1) if rank <= allowed(value, len(places))}
        self.keep(reason, stay.__contains__)

    def keep_one(self, reason: str, key: Callable[[Place], Any]) -> None:
        groups = self.groups(key)
        named = {place: f"{places[0][1]}.jpg" for places in groups.values() for place in places[1:]}
        self.keep(reason, lambda place: place not in named)
        self.dropped |= {place: (reason, image_id) for place, image_id in named.items()}

    def connected(self, distance: int) -> Callable[[Place], int]:
        """By hash, the smallest hash that it is connected with."""
        hashes = {row["phash"] for row in self.kept.values()}
        first = {value: value for value in hashes}
        for _ in hashes:
            for one in hashes:
                near = [first[other] for other in hashes if (one ^ other).bit_count() <= distance]
                first[one] = min(near)
        return lambda place: first[self.kept[place]["phash"]]


def choose(tables: dict[str, list[Row]], asked: dict[str, Any]) -> Model:
    """All steps but the sample, which is random."""
    model = Model(tables)

    def prompt_of(place: Place) -> Any:
        return model.kept[place]["prompt"]

    if "where" in asked:
        model.keep("where", lambda place: CONDITIONS[asked["where"]](model.kept[place]))
    if asked.get("dedupe") == "exact":
        model.keep_one("duplicate", lambda place: model.kept[place]["sha256"])
    if asked.get("dedupe") == "near":
        model.keep_one("near_duplicate", model.connected(asked.get("near_distance", 6)))
    if "best_of" in asked:
        keep = asked.get("keep", 1)
        model.keep_first("not_among_the_best", prompt_of, lambda prompt, _: keep if prompt is not None else 0)
    if "quota" in asked:
        counts = dict(entry.rsplit(":", 1) for entry in asked["quota"].removeprefix("prompt=").split(","))
        rest = int(counts.pop("*", 0))
        model.keep_first("over_quota", prompt_of, lambda prompt, _: int(counts.get(prompt, rest)))
    if "rank" in asked:
        rank = asked["rank"]
        key = prompt_of if "per" in rank else lambda _: None
        model.keep_first("not_at_the_top", key, lambda _, count: rank.get("top") or -(-count * 30 // 100))
    return model


@settings(max_examples=40, deadline=None)
@given(tables=st.lists(rows, min_size=1, max_size=2), asked=options)
def test_a_selection_keeps_and_drops_what_the_model_does(tables: list[list[Row]], asked: dict[str, Any]):
    named = {f"t{number}": table for number, table in enumerate(tables)}
    directory = Path(mkdtemp())
    try:
        for name, table in named.items():
            write_table(directory / name, table, passthrough=COLUMNS)
        model = choose(named, asked)
        config = {key: value for key, value in asked.items() if key != "rank"} | asked.get("rank", {})
        for option, other in (("near_distance", config.get("dedupe") == "near"), ("keep", "best_of" in config)):
            if not other:
                config.pop(option, None)
        to = directory / "selection.parquet"
        tables_asked = tuple(str(directory / name) for name in named)
        report = run(SelectConfig(tables=tables_asked, to=str(to), **config), Console(file=io.StringIO()))
        kept = kept_rows(to)
        found = {
            (row["table_name"], row["row_number"]): (row["reason"], row["duplicate_of"])
            for row in pq.read_table(to.with_name("selection.dropped.parquet")).to_pylist()
        }
        assert kept == sorted(kept)
        if "sample" in asked:
            assert set(kept) <= set(model.kept)
            assert len(kept) == min(asked["sample"], len(model.kept))
            model.keep("not_sampled", set(kept).__contains__)
        assert kept == sorted(model.kept)
        assert found == model.dropped
        assert report.facts.num_rows == len(kept) + len(found)
        assert sum(report.facts.dropped.values()) == len(found)
    finally:
        shutil.rmtree(directory)
