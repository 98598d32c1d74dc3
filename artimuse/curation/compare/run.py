"""`artimuse compare`: two score tables side by side, and whether one is better than chance would make it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import duckdb
import numpy as np
from rich.console import Console

from artimuse.configs.compare import CompareConfig
from artimuse.curation.compare.bootstrap import ClusterSums, interval
from artimuse.curation.compare.comparison import CompareReport, Difference, PairCounts, Side
from artimuse.curation.compare.largest import largest_differences
from artimuse.curation.compare.measures import (
    Distribution,
    paired_shares,
    rank_correlation,
    read_cluster_sums,
    read_distribution,
    unpaired_shares,
)
from artimuse.curation.compare.pairing import IMAGE_KEY, Pairing, make_images, pair_by, pair_what_matches
from artimuse.curation.tables import ScoreTable, find_tables, opened
from artimuse.errors import BadInput
from artimuse.runs.progress import RunProgress

Distributions = tuple[Distribution, Distribution]


def run(config: CompareConfig, console: Console) -> CompareReport:
    """Reads both tables, and writes a page if one is asked for.

    Raises BadOutput for what is no score table or a page that cannot be written, BadInput if a column is missing, or if
    there are too few scores or pairs for a comparison.
    """
    # One at a time, and then by letters: two tables may have one name, or be the same.
    tables = [
        replace(find_tables([location])[0], name=letter)
        for letter, location in zip("AB", (config.table_a, config.table_b))
    ]
    destination = None
    if config.to is not None:
        # With its libraries for plots only where there are plots.
        from artimuse.curation.pages.location import page_location, refuse_other_file

        destination = page_location(config.to, "compare")
        refuse_other_file(*destination)
    with opened(tables) as connection, RunProgress(console).phase("comparing"):
        distributions = read_distribution(connection, "rows_0"), read_distribution(connection, "rows_1")
        _refuse_too_few(tables, distributions)
        if config.by is not None:
            pairing: Pairing | None = pair_by(connection, config.by)
        else:
            pairing = pair_what_matches(connection, (distributions[0].num_images, distributions[1].num_images))
        report = _report(connection, tables, distributions, pairing, config.seed)
        if destination is None:
            return report
        from artimuse.curation.compare.page import compare_page

        folder, name = destination
        page = compare_page(connection, tables, report, pairing, distributions, config.http_access)
        folder.write(name, page)
        return replace(report, page=folder.url(name))


def _refuse_too_few(tables: Sequence[ScoreTable], distributions: Distributions) -> None:
    for table, distribution in zip(tables, distributions):
        if distribution.num_images < 2:
            raise BadInput(
                f"{table.output.url()}: scored images: {distribution.num_images}; a comparison needs two or more"
            )


def _report(
    connection: duckdb.DuckDBPyConnection,
    tables: Sequence[ScoreTable],
    distributions: Distributions,
    pairing: Pairing | None,
    seed: int,
) -> CompareReport:
    samples: tuple[ClusterSums, ...]
    if pairing is None:
        make_images(connection)
        samples = read_cluster_sums(connection, "images_b"), -read_cluster_sums(connection, "images_a")
        shares = unpaired_shares(*distributions)
    else:
        samples = (read_cluster_sums(connection, "paired"),)
        shares = paired_shares(connection)
    a, b = (
        _side(connection, f"rows_{number}", table, distribution)
        for number, (table, distribution) in enumerate(zip(tables, distributions))
    )
    return CompareReport(
        a=a,
        b=b,
        pairs=None if pairing is None else _counts(pairing),
        difference=_difference(samples, distributions, seed),
        shares=shares,
        rank_correlation=None if pairing is None else rank_correlation(connection),
        largest_better=() if pairing is None else largest_differences(connection, pairing, "B"),
        largest_worse=() if pairing is None else largest_differences(connection, pairing, "A"),
        warnings=tuple(_warnings(tables, pairing)),
        seed=seed,
    )


def _side(connection: duckdb.DuckDBPyConnection, rows: str, table: ScoreTable, distribution: Distribution) -> Side:
    [(num_images, num_failed)] = connection.execute(
        f"SELECT count(*), count(*) FILTER (score IS NULL) FROM {rows}"
    ).fetchall()
    facts = _score_facts(table)
    return Side(
        table=table.output.url(),
        model=str(table.record.config.get("model", "unknown")),
        weights=facts.get("weights"),
        dtype=str(facts.get("dtype", "unknown")),
        engine=str(facts.get("engine", "unknown")),
        strategy=str(facts.get("strategy", "unknown")),
        num_images=num_images,
        num_failed=num_failed,
        mean=distribution.mean,
        median=distribution.median,
        standard_deviation=distribution.standard_deviation,
    )


def _score_facts(table: ScoreTable) -> Mapping[str, Any]:
    """What its scores depend on."""
    return table.record.fingerprints.get("score", {})


def _counts(pairing: Pairing) -> PairCounts:
    return PairCounts(
        by=pairing.name,
        noun=pairing.noun,
        num_pairs=pairing.num_pairs,
        num_only_a=pairing.num_only[0],
        num_only_b=pairing.num_only[1],
        num_unscored=pairing.num_unscored,
        num_images_a=pairing.num_images[0],
        num_images_b=pairing.num_images[1],
    )


def _difference(samples: tuple[ClusterSums, ...], distributions: Distributions, seed: int) -> Difference:
    mean = sum(sample.mean for sample in samples)
    low, high = interval(samples, np.random.default_rng(seed))
    spread = math.sqrt(sum(distribution.standard_deviation**2 for distribution in distributions) / 2)
    return Difference(
        mean=mean,
        low=low,
        high=high,
        num_independent=min(sample.num_clusters for sample in samples),
        effect_size=mean / spread if spread else None,
    )


def _warnings(tables: Sequence[ScoreTable], pairing: Pairing | None) -> Iterator[str]:
    """Why a difference may be of something else than the images, or than the checkpoints."""
    a, b = map(_score_facts, tables)
    lows, highs = ([f"{end(table.values):g}" for table in tables] for end in (min, max))
    if lows[0] != lows[1] or highs[0] != highs[1]:
        yield f"the scores of A are from {lows[0]} to {highs[0]}, those of B from {lows[1]} to {highs[1]}"
    if a.get("strategy") != b.get("strategy"):
        yield (
            f"the scores are of different strategies, {a.get('strategy')} and {b.get('strategy')}:"
            " a difference may be theirs"
        )
    is_of_images = pairing is not None and pairing.columns[0] == IMAGE_KEY
    if not is_of_images and a.get("weights") != b.get("weights"):
        yield "different images are scored by different models: a difference may be of either"
