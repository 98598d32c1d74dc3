"""`artimuse score`: images to the score table, as a run that can be stopped and started again."""

import logging
from dataclasses import replace

from rich.console import Console

from artimuse.configs.score import ScoreConfig
from artimuse.engines import reference_of
from artimuse.errors import BadOutput, Interrupted
from artimuse.io.folder import Folder
from artimuse.pipelines.backend import SIZES, Backend, Sizes
from artimuse.pipelines.backlog import ScoreBacklog, TextBacklog
from artimuse.pipelines.parity import ParityCertificate, refuse_difference
from artimuse.pipelines.record import ModelFacts, new_record, plan_fingerprint, text_job
from artimuse.pipelines.report import ScoreReport, how_far, what_is_there
from artimuse.pipelines.rows import ScoreJob, TextJob
from artimuse.pipelines.witnesses import find_witnesses
from artimuse.pipelines.work import Work
from artimuse.runs.lock import Lock, hold_lock
from artimuse.runs.progress import RunProgress
from artimuse.runs.record import now
from artimuse.runs.signals import StopRequest
from artimuse.runs.submitted import refuse_relative_paths
from artimuse.scoring import STRATEGIES
from artimuse.sources import open_source
from artimuse.table.compaction import compact_shard
from artimuse.table.condition import WITHOUT_TEXTS, Condition
from artimuse.table.facts import TableFacts, read_table_facts
from artimuse.table.ledger import Ledger
from artimuse.table.open import has_rows, open_table, refuse_foreign_files
from artimuse.table.plan import PlanFacts, plan_passthrough_schema, write_plan
from artimuse.table.record import RUN_FILE, ScoreRecord, Status
from artimuse.table.schema import score_schema

logger = logging.getLogger(__name__)


def run(config: ScoreConfig, console: Console, *, sizes: Sizes = SIZES) -> ScoreReport:
    """Scores what OUTPUT does not have yet.

    Raises BadInput, BadCheckpoint, BadOutput, OutputLocked, RunMismatch, ClusterProblem, EngineFailed; Interrupted
    when stopped, with everything finished on disk.
    """
    refuse_relative_paths({"INPUT": config.input, "OUTPUT": config.output}, models={"--model": config.model})
    output = Folder.at(config.output)
    refuse_foreign_files(output)
    stop = StopRequest(config.grace_s, doing="finishing the images in flight")
    with stop.heeded(), hold_lock(output) as lock:
        return ScoreRun(config, output, RunProgress(console), stop, lock, sizes).run()


class ScoreRun:
    """One call of `artimuse score`. Its methods are its phases, in the order in which `run` has them."""

    plan: PlanFacts
    model: ModelFacts
    texts: TextJob | None
    condition: Condition | None
    """The condition of the rows that are to get texts; None if no texts are asked for."""
    resolved: ScoreConfig
    """The configuration, with nothing left to the machine that it runs on."""
    record: ScoreRecord
    ledger: Ledger
    backlog: ScoreBacklog
    texts_later: TextBacklog | None
    """The rows that were there before and are to get texts."""
    num_before: int
    """The number of rows that were there before."""
    job: ScoreJob
    certificate: ParityCertificate | None = None
    images_per_s = 0.0

    def __init__(
        self, config: ScoreConfig, output: Folder, progress: RunProgress, stop: StopRequest, lock: Lock, sizes: Sizes
    ) -> None:
        self.config = config
        self.output = output
        self.progress = progress
        self.stop = stop
        self.sizes = sizes
        self.backend = _backend(config)
        self.work = Work(
            backend=self.backend,
            sizes=sizes,
            progress=progress,
            stop=stop,
            lock=lock,
            most_rows_per_part=config.rows_per_part,
        )

    def run(self) -> ScoreReport:
        with self.progress.phase("planning"):
            self._plan()
        with self.progress.phase("starting"):
            self._connect()
            self._find_work()
            has_work = self.backlog.num_rows > 0 or self.texts_later is not None
            if has_work:
                self._check()
        if has_work:
            self._compare()
            self._score()
            self._describe()
        return self._finish()

    def _plan(self) -> None:
        """Raises BadInput if INPUT cannot be planned, or if --attributes-where is no condition on a row."""
        self.model = ModelFacts.of(self.config)
        earlier = RUN_FILE.read(self.output)
        if earlier and not has_rows(self.output) and earlier.fingerprints["plan"] != plan_fingerprint(self.config):
            RUN_FILE.remove(self.output)
            earlier = None
        self.plan = earlier.plan if earlier else self._new_plan()
        self.texts = text_job(self.config)
        self.condition = None
        if self.texts:
            values_K = STRATEGIES[self.config.strategy].values_K
            passthrough = plan_passthrough_schema(self.output)
            schema = score_schema(values_K, passthrough, with_metadata=self.config.image_metadata)
            self.condition = Condition(self.texts.where, schema, among=WITHOUT_TEXTS)

    def _new_plan(self) -> PlanFacts:
        source = open_source(
            self.config.input,
            formats=self.config.limits.formats,
            image_column=self.config.image_column,
            uri_column=self.config.uri_column,
            tar_ids=self.config.tar_ids,
            http=self.config.http_access,
        )
        sizes = self.sizes
        return write_plan(source, self.output, rows_per_shard=sizes.rows_per_shard, rows_per_group=sizes.rows_per_group)

    def _connect(self) -> None:
        self.resolved = self.backend.open(self.config, self.model)
        self.stop.heed()  # Ray has taken the signals for itself

    def _find_work(self) -> None:
        """Raises RunMismatch if OUTPUT was made with other settings."""
        self.record = new_record(self.resolved, self.output, self.model, self.plan)
        self.ledger = open_table(self.output, self.record)
        self.backlog = ScoreBacklog(self.ledger, retry_failed=self.config.retry_failed, limit=self.config.limit)
        self.texts_later = self._find_texts_later()
        self.num_before = self.ledger.num_done()

    def _find_texts_later(self) -> TextBacklog | None:
        """The rows to describe, as many as --limit allows beside those that are scored; None if there are none."""
        if self.condition is None:
            return None
        limit = None if self.config.limit is None else self.config.limit - self.backlog.num_rows
        texts_later = TextBacklog(self.ledger, self.condition, limit=limit)
        return texts_later if texts_later.num_rows else None

    def _check(self) -> None:
        """Raises ClusterProblem if a node cannot do the work."""
        self.job = self._new_job()
        self.backend.check(self.job, weights=self.model.digest)
        RUN_FILE.write(self.output, self.record)

    def _compare(self) -> None:
        """Raises ParityFailed if the engine scores otherwise than its reference."""
        if not self.config.parity_check or reference_of(self.job.engine.name) is None:
            return
        with self.progress.phase("comparing with the reference"):
            tolerance = self.config.parity_tolerance
            self.certificate = self.backend.certify(self.job, num_rows=self.plan.num_rows, tolerance=tolerance)
        if self.certificate:
            self.record = replace(self.record, parity=self.certificate.as_dict())
            RUN_FILE.write(self.output, self.record)
        refuse_difference(self.certificate, self.job.engine.dtype)

    def _new_job(self) -> ScoreJob:
        return ScoreJob(
            output=self.output,
            rows_per_shard=self.plan.rows_per_shard,
            engine=self.resolved.engine_config,
            strategy=self.config.strategy,
            limits=self.config.limits,
            texts=self.texts,
            with_metadata=self.config.image_metadata,
            passthrough=plan_passthrough_schema(self.output),
            # This process needs no proof of what it has read itself.
            witnesses=() if self.config.is_in_process else tuple(find_witnesses(self.output, self.config.limits)),
        )

    def _score(self) -> None:
        """Scores the rows that this run is the first to try, or tries again; texts come with them."""
        if not self.backlog.num_rows:
            return
        if self.num_before:
            logger.info("%s", what_is_there(self.num_before, self.backlog.num_retries, self.plan.num_rows))
        num_kept = self.num_before - self.backlog.num_retries
        with self.progress.phase("scoring"):
            self.progress.expect(
                total=num_kept + self.backlog.num_rows,
                done=num_kept,
                failed=self.ledger.num_failed() - self.backlog.num_retries,
            )
            self.work.do(self.job, self.backlog)
            self.images_per_s, working_s = self.progress.rate, self.progress.working_s
        self.progress.split_phase("scoring", "loading the model", last_s=working_s)
        if self.texts_later and not self.stop.is_set:
            # Scoring has changed the parts.
            self.ledger = open_table(self.output, self.record)
            self.texts_later = self._find_texts_later()

    def _describe(self) -> None:
        """Describes the rows that were there before."""
        if not self.texts_later or self.stop.is_set:
            return
        logger.info("%s images get their texts", f"{self.texts_later.num_rows:,}")
        with self.progress.phase("describing"):
            self.progress.expect(total=self.texts_later.num_rows, done=0)
            self.work.do(replace(self.job, rows_exist=True), self.texts_later)
            self.images_per_s = self.progress.rate or self.images_per_s

    def _finish(self) -> ScoreReport:
        """Raises Interrupted after a stop, BadOutput if rows are missing although the run has ended."""
        tally, num_images = self.work.tally, self.plan.num_rows
        if self.stop.is_set:
            # Without looking at the table: that takes minutes for a large one.
            RUN_FILE.write(self.output, replace(self.record, status="interrupted", finished_at=now()))
            raise Interrupted(how_far(self.num_before + tally.num_new, num_images, tally, self.backlog.num_retries))
        with self.progress.phase("checking"):
            facts = _checked_facts(self.output)
        report = self._report(facts)
        num_left = num_images - facts.num_rows
        # Rows are missing without a limit if damaged parts turned up at the end.
        unfinished: Status = "interrupted" if self.config.limit is None else "limited"
        status: Status = unfinished if num_left else "finished"
        earlier = RUN_FILE.read(self.output)
        # A run that was killed after its last part has left the table whole and its record open.
        if tally.num_rows or earlier is None or earlier.status != status:
            closed = replace(self.record, status=status, finished_at=now(), report=report.as_dict())
            RUN_FILE.write(self.output, closed)
        if num_left and self.config.limit is None:
            raise BadOutput(
                f"{self.output.url()}: {num_left} images have no row although the run has ended; run it again"
            )
        return report

    def _report(self, facts: TableFacts) -> ScoreReport:
        tally = self.work.tally
        return ScoreReport(
            output=self.output.url(),
            model=self.model.name,
            note=self.model.note,
            num_images=self.plan.num_rows,
            num_rows=facts.num_rows,
            num_failed=facts.num_failed,
            errors=facts.errors,
            score_quantiles=facts.quantiles,
            num_described=facts.num_described,
            num_texts_truncated=facts.num_texts_truncated,
            num_deep=facts.num_deep,
            num_new_rows=tally.num_new,
            num_retried=tally.num_retried,
            num_recovered=tally.num_recovered,
            num_newly_described=tally.num_described,
            text_problems=dict(tally.text_problems),
            images_per_s=round(self.images_per_s, 3),
            timeline=tuple(self.progress.timeline),
            parity=self.certificate,
            phase_s={name: round(seconds, 2) for name, seconds in self.progress.phase_s.items()},
            worker_s={name: round(seconds, 2) for name, seconds in tally.seconds.items()},
            rows_by_worker_node=dict(tally.workers),
            skipped=self.plan.skipped,
            max_failed=self.config.max_failed,
        )


def _backend(config: ScoreConfig) -> Backend:
    if config.is_in_process:
        from artimuse.pipelines.in_process import InProcess

        return InProcess()
    from artimuse.pipelines.on_ray import OnRay

    return OnRay()


def _checked_facts(output: Folder) -> TableFacts:
    """What the table says, after taking out what workers that outlived an earlier run have written meanwhile."""
    facts = read_table_facts(output)
    for shard in facts.shards_with_repeats:
        compact_shard(output, shard, is_complete=False)
    return read_table_facts(output) if facts.shards_with_repeats else facts
