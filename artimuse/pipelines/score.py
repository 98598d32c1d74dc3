"""`artimuse score`: images to the score table, as a run that can be stopped and started again."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from rich.console import Console

from artimuse.configs.score import ScoreConfig
from artimuse.errors import BadOutput, Interrupted, RowError
from artimuse.io.fetch import fetch
from artimuse.io.folder import Folder
from artimuse.io.location import Location
from artimuse.parity import ParityCertificate
from artimuse.pipelines import cluster
from artimuse.pipelines.node_check import check_nodes
from artimuse.pipelines.parity_check import check_parity, refuse_difference
from artimuse.pipelines.report import ScoreReport, TableFacts, read_table_facts
from artimuse.pipelines.rows import WITHOUT_TEXTS, Condition, ScoreJob, TextJob
from artimuse.pipelines.run_record import (
    ModelFacts,
    new_record,
    now,
    open_ledger,
    open_plan,
    read_status,
    refuse_foreign_files,
    text_job,
)
from artimuse.pipelines.stopping import StopRequest
from artimuse.pipelines.work import Backlog, Tally, TextBacklog, work_off
from artimuse.progress import RunProgress
from artimuse.schema import score_schema
from artimuse.scoring import STRATEGIES
from artimuse.sinks.finish import finish_shard
from artimuse.sinks.ledger import PartsLedger
from artimuse.sinks.lock import Lock, hold_lock
from artimuse.sinks.run_file import write_run
from artimuse.sources.plan import locations, num_shard_rows, plan_carried_schema, read_plan_rows

logger = logging.getLogger(__name__)

NUM_WITNESSES = 4
MAX_WITNESS_CANDIDATES = 64


def run(config: ScoreConfig, console: Console) -> ScoreReport:
    """Scores what OUTPUT does not have yet.

    Raises BadInput, BadCheckpoint, BadOutput, OutputLocked, RunMismatch, ClusterProblem, EngineFailed; Interrupted
    when stopped, with everything finished on disk.
    """
    if cluster.is_submitted_job():
        cluster.refuse_relative_paths(
            {"INPUT": config.input, "OUTPUT": config.output}, models={"--model": config.model}
        )
    output = Folder.at(config.output)
    refuse_foreign_files(output)
    stop = StopRequest(config.grace_s, doing="finishing the images in flight")
    with stop.heeded(), hold_lock(output) as lock:
        return _run(config, output, RunProgress(console), stop, lock)


def _run(config: ScoreConfig, output: Folder, progress: RunProgress, stop: StopRequest, lock: Lock) -> ScoreReport:
    with progress.phase("planning"):
        model = ModelFacts.of(config)
        plan = open_plan(config, output)
        texts = text_job(config)
        condition = _condition(config, output, texts)
    with progress.phase("starting"):
        cluster.connect(debug=config.debug)
        stop.heed()
        workers = cluster.plan_workers(config, weight_bytes=model.num_bytes)
        resolved = cluster.resolve_engine(config, workers, model=model.name)
        record = new_record(resolved, output, model, plan)
        ledger = open_ledger(output, record)
        backlog = Backlog(ledger, retry_failed=config.retry_failed, limit=config.limit)
        texts_later = _texts_later(config, ledger, condition, num_scored=backlog.num_rows)
        num_before = ledger.num_done()
    tally = Tally()
    images_per_s = 0.0
    certificate: ParityCertificate | None = None
    if backlog.num_rows or texts_later:
        job = _job(resolved, output, plan["rows_per_shard"], texts)
        with progress.phase("starting"):
            check_nodes(job, weights=model.digest)
            write_run(output, record)
        certificate = _compare(config, job, workers, record, progress)
        work = partial(
            work_off,
            workers=workers,
            progress=progress,
            stop=stop,
            lock=lock,
            tally=tally,
            most_rows=config.rows_per_part,
        )
        if backlog.num_rows:
            num_kept = num_before - backlog.num_retries
            if num_before:
                logger.info("%s", _what_is_there(num_before, backlog.num_retries, plan["num_rows"]))
            with progress.phase("scoring"):
                progress.expect(total=num_kept + backlog.num_rows, done=num_kept)
                work(backlog, job)
                images_per_s, working_s = progress.rate, progress.working_s
            progress.split_phase("scoring", "loading the model", last_s=working_s)
        if texts_later and not stop.is_set:
            if backlog.num_rows:  # which has changed the parts
                ledger = open_ledger(output, record)
                texts_later = _texts_later(config, ledger, condition, num_scored=backlog.num_rows)
            images_per_s = _describe(texts_later, replace(job, rows_exist=True), work, progress) or images_per_s
    if stop.is_set:
        # Without looking at the table: that takes minutes for a large one.
        write_run(output, {**record, "status": "interrupted", "finished_at": now()})
        raise Interrupted(_how_far(num_before + tally.num_new, plan["num_rows"], tally, backlog))
    with progress.phase("checking"):
        facts = _checked_facts(output)
    report = _report(config, output, model, plan, facts, tally, progress, certificate, images_per_s)
    num_left = plan["num_rows"] - facts.num_rows
    status = "limited" if num_left else "finished"
    # A run that was killed after its last part has left the table whole and its record open.
    if tally.num_rows or read_status(output) != status:
        write_run(output, {**record, "status": status, "finished_at": now(), "report": report.as_dict()})
    if num_left and config.limit is None:
        raise BadOutput(f"{output.url()}: {num_left} images have no row although the run has ended; run it again")
    return report


def _compare(
    config: ScoreConfig, job: ScoreJob, workers: cluster.Workers, record: dict[str, Any], progress: RunProgress
) -> ParityCertificate | None:
    """The engine with its reference; puts the certificate into the record of the run.

    Raises ParityFailed if they are too far apart.
    """
    if not config.parity_check:
        return None
    with progress.phase("comparing with the reference"):
        certificate = check_parity(job, workers, num_rows=record["plan"]["num_rows"], tolerance=config.parity_tolerance)
    if certificate:
        record["parity"] = certificate.as_dict()
        write_run(job.output, record)
        refuse_difference(certificate)
    return certificate


def _describe(
    backlog: TextBacklog | None, job: ScoreJob, work: Callable[[TextBacklog, ScoreJob], None], progress: RunProgress
) -> float:
    """Images/s."""
    if backlog is None:
        return 0.0
    logger.info("%s images get their texts", f"{backlog.num_rows:,}")
    with progress.phase("describing"):
        progress.expect(total=backlog.num_rows, done=0)
        work(backlog, job)
        return progress.rate


def _report(
    config: ScoreConfig,
    output: Folder,
    model: ModelFacts,
    plan: Mapping[str, Any],
    facts: TableFacts,
    tally: Tally,
    progress: RunProgress,
    certificate: ParityCertificate | None,
    images_per_s: float,
) -> ScoreReport:
    return ScoreReport(
        output=output.url(),
        model=model.name,
        note=model.note,
        num_images=plan["num_rows"],
        num_rows=facts.num_rows,
        num_failed=facts.num_failed,
        errors=facts.errors,
        score_quantiles=facts.quantiles,
        num_described=facts.num_described,
        num_texts_truncated=facts.num_texts_truncated,
        num_new_rows=tally.num_new,
        num_retried=tally.num_retried,
        num_recovered=tally.num_recovered,
        num_newly_described=tally.num_described,
        text_problems=dict(tally.text_problems),
        images_per_s=round(images_per_s, 3),
        parity=certificate,
        phase_s={name: round(seconds, 2) for name, seconds in progress.phase_s.items()},
        worker_s={name: round(seconds, 2) for name, seconds in tally.seconds.items()},
        rows_by_worker_node=dict(tally.workers),
        skipped=plan["skipped"],
        max_failed=config.max_failed,
    )


def _condition(config: ScoreConfig, output: Folder, texts: TextJob | None) -> Condition | None:
    """Raises BadInput if --attributes-where is no condition on a row of this run's table."""
    if texts is None:
        return None
    values_K = STRATEGIES[config.strategy].values_K
    schema = score_schema(values_K, plan_carried_schema(output), with_metadata=config.image_metadata)
    return Condition(texts.where, schema, among=WITHOUT_TEXTS)


def _texts_later(
    config: ScoreConfig, ledger: PartsLedger, condition: Condition | None, *, num_scored: int
) -> TextBacklog | None:
    """Rows that have been there before and are to get texts, as far as --limit allows; None if there are none."""
    if condition is None:
        return None
    limit = None if config.limit is None else config.limit - num_scored
    texts_later = TextBacklog(ledger, condition, limit=limit)
    return texts_later if texts_later.num_rows else None


def _what_is_there(num_done: int, num_retries: int, num_images: int) -> str:
    again = f", of which {num_retries:,} failed ones are tried again" if num_retries else ""
    return f"{num_done:,} of {num_images:,} images are done{again}"


def _how_far(num_done: int, num_images: int, tally: Tally, backlog: Backlog) -> str:
    retried = f", {tally.num_retried:,} of {backlog.num_retries:,} failed ones were tried again"
    return (
        f"{num_done:,} of {num_images:,} images are done{retried if backlog.num_retries else ''};"
        " the same command goes on from there"
    )


def _checked_facts(output: Folder) -> TableFacts:
    """What the table says, after taking out what workers that outlived an earlier run have written meanwhile."""
    facts = read_table_facts(output)
    for shard in facts.shards_with_repeats:
        finish_shard(output, shard, is_complete=False)
    return read_table_facts(output) if facts.shards_with_repeats else facts


def _job(config: ScoreConfig, output: Folder, rows_per_shard: int, texts: TextJob | None) -> ScoreJob:
    return ScoreJob(
        output=output,
        rows_per_shard=rows_per_shard,
        engine=config.engine_config,
        strategy=config.strategy,
        limits=config.limits,
        texts=texts,
        with_metadata=config.image_metadata,
        carried=plan_carried_schema(output),
        witnesses=tuple(_witnesses(config, output)),
    )


def _witnesses(config: ScoreConfig, output: Folder) -> Iterator[Location]:
    """A few images of the plan that can be read here, looked for among a bounded number."""
    num_rows = num_shard_rows(output, 0)
    candidates = np.unique(np.linspace(0, num_rows - 1, MAX_WITNESS_CANDIDATES, dtype=np.int64))
    images = locations(read_plan_rows(output, 0, candidates))
    readable = (image for image in images if not isinstance(fetch(image, config.limits), RowError))
    return islice(readable, NUM_WITNESSES)
