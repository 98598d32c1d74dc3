"""How a score table was made: what its run.json says, for a reader."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from artimuse.configs.workers import HasWorkers
from artimuse.curation.pages.values import shown
from artimuse.curation.tables import ScoreTable
from artimuse.io.location import printable
from artimuse.table.record import ScoreRecord

MOST_STARTS = 20
_MOST_NODES = 8
_FACT_CHARS = 400
_BUSY = 0.8
"""From this share of its time on, a worker counts as never waiting."""

Fact = tuple[str, str]
Share = tuple[str, str, float]
"""What, seconds, and percent of the longest."""


@dataclass(frozen=True, slots=True)
class RunStory:
    """What the page says of the run of one table."""

    table: str
    location: str
    model: str
    facts: tuple[Fact, ...]
    starts: tuple[Fact, ...]
    """When and with what the run was started, the first start first."""
    phases: tuple[Share, ...]
    """Wall-clock seconds of the last start."""
    work: tuple[Share, ...]
    """Seconds of all workers together."""
    verdict: str
    """What bound the last start."""
    timeline: tuple[tuple[float, float], ...]
    """Minutes since the first worker of the last start began, and images per second up to then; or empty."""


def story_of(table: ScoreTable) -> RunStory:
    record = table.record
    report = record.report or {}
    return RunStory(
        shown(table.name, _FACT_CHARS),
        shown(printable(table.output.url()), _FACT_CHARS),
        shown(_model(record, report), _FACT_CHARS),
        tuple((name, shown(value, _FACT_CHARS)) for name, value in _facts(record, report)),
        _starts(record),
        _shares(report.get("phase_s", {})),
        _shares(report.get("worker_s", {})),
        _verdict(record, report),
        _rates(report.get("timeline") or ()),
    )


def _facts(record: ScoreRecord, report: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    asked, score = record.config, record.fingerprints.get("score", {})
    yield "input", record.fingerprints.get("plan", {}).get("input", "not recorded")
    if record.plan.skipped:
        yield "not images", ", ".join(f"{count:,} {suffix}" for suffix, count in record.plan.skipped.items())
    yield "model", _model(record, report)
    for name in ("weights", "strategy", "engine", "dtype", "pixels"):
        if score.get(name):
            yield name, score[name]
    for name in ("device", "workers"):
        if asked.get(name):
            yield name, asked[name]
    if "texts" in record.fingerprints:
        texts = record.fingerprints["texts"]
        attributes = str(texts.get("attributes", "")).replace(",", ", ").replace("_", " ")
        yield "texts", f"{attributes}; up to {texts.get('max_new_tokens', '?')} tokens each"
    yield "as the reference", _parity(record.parity)
    if report.get("images_per_s"):
        yield "throughput", f"{report['images_per_s']:,.1f} images/s in the last start"
    if report.get("rows_by_worker_node"):
        nodes = list(report["rows_by_worker_node"].items())
        more = f" and {len(nodes) - _MOST_NODES:,} more" if len(nodes) > _MOST_NODES else ""
        yield "nodes", ", ".join(f"{node} ({count:,} images)" for node, count in nodes[:_MOST_NODES]) + more
    yield "status", record.status
    yield "artimuse", record.artimuse
    for kind, versions in (("versions", record.versions), ("decoders", record.fingerprints.get("decoder", {}))):
        if versions:
            yield kind, ", ".join(f"{name} {version}" for name, version in versions.items())


def _model(record: ScoreRecord, report: Mapping[str, Any]) -> str:
    return str(report.get("model") or record.config.get("model") or "a model that is not recorded")


def _parity(parity: Mapping[str, Any] | None) -> str:
    if parity is None:
        return "not compared"
    ranks = parity.get("rank_correlation")
    return (
        f"{parity['num_images']} images also scored by engine {parity['reference']}: at most"
        f" {parity['max_difference']:.2g} points apart, {parity['mean_difference']:.2g} on average"
        + ("" if ranks is None else f", rank correlation {ranks:.4f}")
        + f" (allowed: {parity['tolerance']:g} points)"
    )


def _starts(record: ScoreRecord) -> tuple[Fact, ...]:
    starts = [*record.starts, record.start]
    found = [
        (
            shown(_moment(start.get("started_at")), _FACT_CHARS),
            shown(
                f"artimuse {start.get('artimuse')}, {(start.get('config') or {}).get('engine', 'engine not recorded')},"
                f" workers {(start.get('config') or {}).get('workers', 'not recorded')}",
                _FACT_CHARS,
            ),
        )
        for start in starts
    ]
    if record.finished_at:
        found.append((shown(_moment(record.finished_at), _FACT_CHARS), f"{record.status}"))
    if len(found) > MOST_STARTS:
        left_out = len(found) - MOST_STARTS
        found = [*found[: MOST_STARTS // 2], ("…", f"{left_out:,} more"), *found[-MOST_STARTS // 2 :]]
    return tuple(found)


def _moment(written: object) -> str:
    """2026-11-27 15:12:09 UTC for the same in ISO 8601."""
    return str(written or "time not recorded").replace("T", " ").replace("+00:00", " UTC")


def _shares(seconds: Mapping[str, float]) -> tuple[Share, ...]:
    longest = max(seconds.values(), default=0.0) or 1.0
    return tuple((shown(name, 80), f"{value:,.1f}", 100 * value / longest) for name, value in seconds.items())


def _rates(timeline: Sequence[tuple[float, int]]) -> tuple[tuple[float, float], ...]:
    """From the number of images at some seconds to the rate between them. A single point tells nothing."""
    rates = []
    for (earlier_s, earlier), (later_s, later) in pairwise([(0.0, 0), *timeline]):
        if later_s > earlier_s:
            rates.append((round(later_s / 60, 4), round((later - earlier) / (later_s - earlier_s), 2)))
    return tuple(rates) if len(rates) > 1 else ()


def _verdict(record: ScoreRecord, report: Mapping[str, Any]) -> str:
    """Only what the sums of a run prove: how many workers were busy on average, and of how many if that is known."""
    work, working_s = report.get("worker_s", {}), report.get("phase_s", {}).get("scoring", 0.0)
    if not working_s or not any(work.values()):
        return "run.json has no times of this run."
    busy = {stage: seconds / working_s for stage, seconds in work.items()}
    said = ", ".join(f"{number:.2f} in {stage}" for stage, number in busy.items())
    sentence = f"Workers busy on average while images were scored: {said}."
    num_workers = _num_workers(record)
    if num_workers is None:
        return f"{sentence} The number of workers varied or is not recorded, so what bound the run is not known."
    share = busy.get("score", 0.0) / num_workers
    if share >= _BUSY:
        return f"{sentence} The model worked {min(share, 1.0):.0%} of the time: it bound the run."
    slowest = max(("fetch", "decode", "write"), key=lambda stage: busy.get(stage, 0.0))
    named = {"fetch": "fetching images", "decode": "decoding images", "write": "writing parts"}[slowest]
    return f"{sentence} The model worked {share:.0%} of the time and else waited, mostly for {named}."


def _num_workers(record: ScoreRecord) -> int | None:
    """Workers with the model; None unless that number was fixed."""
    asked = HasWorkers()
    asked.workers = str(record.config.get("workers", "auto"))
    try:
        allowed = asked.worker_range
    except ValueError:
        return None
    return None if allowed is None or allowed[0] != allowed[1] else max(1, allowed[0])
