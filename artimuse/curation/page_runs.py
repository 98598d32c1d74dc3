"""How a table was made, for the page: model, settings, versions, the comparison with the reference, and the time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from artimuse.curation.page_facts import Row
from artimuse.curation.tables import ScoreTable


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One table."""

    name: str
    location: str
    facts: list[tuple[str, str]]
    timeline: list[Row]
    """`minutes` since the first worker began, and the `images_per_s` there."""
    plot: str | None
    """The id of the plot of the timeline; None if it has too few points."""


def describe_run(table: ScoreTable, number: int) -> RunFacts:
    """What run.json says of the latest run, and when the earlier ones were started."""
    points = _timeline((table.record.report or {}).get("timeline") or [])
    plot = f"plot-timeline-{number}" if len(points) > 1 else None
    return RunFacts(table.name, table.output.url(), list(_facts(table)), points, plot)


def _facts(table: ScoreTable) -> Iterator[tuple[str, str]]:
    record = table.record
    score, report = record.fingerprints.get("score", {}), record.report or {}
    yield "model", str(report.get("model", record.config.get("model", "")))
    yield "weights", f"sha256 {score['weights']}" if score.get("weights") else "none"
    yield "engine", f"{score.get('engine')}, {score.get('dtype')} on {record.config.get('device', 'auto')}"
    yield "strategy", str(score.get("strategy"))
    yield "input", str(record.fingerprints.get("plan", {}).get("input"))
    if record.parity:
        yield "beside the reference", _parity(record.parity)
    yield "artimuse", f"{record.artimuse}; " + _listed(record.versions)
    if record.fingerprints.get("decoder"):
        yield "decoders", _listed(record.fingerprints["decoder"])
    yield "status", record.status
    yield "started", _started(record.started_at, record.finished_at)
    for start in record.starts:
        yield "started before", f"{start['started_at']} by artimuse {start['artimuse']}"
    if report.get("images_per_s"):
        yield "throughput", f"{report['images_per_s']:,.1f} images/s in the latest run, {_bound(report)}"
    if report.get("phase_s"):
        yield "time", ", ".join(f"{name} {seconds:,.1f} s" for name, seconds in report["phase_s"].items())
    if report.get("rows_by_worker_node"):
        workers = report["rows_by_worker_node"]
        yield "nodes", ", ".join(f"{name}: {count:,} images" for name, count in list(workers.items())[:20])


def _started(started_at: str, finished_at: str | None) -> str:
    return f"{started_at}, ended {finished_at}" if finished_at else started_at


def _parity(parity: Mapping[str, Any]) -> str:
    return (
        f"{parity['num_images']} images by engine {parity['reference']}: at most {parity['max_difference']:.2g} points"
        f" apart, {parity['mean_difference']:.2g} on average"
    )


def _bound(report: Mapping[str, Any]) -> str:
    """What the workers spent most of their time with."""
    seconds = {name: value for name, value in report.get("worker_s", {}).items() if value}
    total = sum(seconds.values())
    if not total:
        return "of which workers kept no time"
    slowest = max(seconds, key=lambda name: seconds[name])
    shares = ", ".join(f"{name} {value / total:.0%}" for name, value in seconds.items())
    return f"bound by {slowest} (time of all workers: {shares})"


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _timeline(points: list[tuple[float, int]]) -> list[Row]:
    """From the number of images at some seconds to the rate between them."""
    rates = []
    for (earlier_s, earlier), (later_s, later) in zip([(0.0, 0), *points], points):
        if later_s > earlier_s:
            rate = (later - earlier) / (later_s - earlier_s)
            rates.append({"minutes": round(later_s / 60, 3), "images_per_s": round(rate, 2)})
    return rates
