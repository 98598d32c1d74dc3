"""Any order of writes, crashes, damage, stray workers, resumes, retries and texts, against a model of the rows.

The model holds, for each row, the latest attempt that has reached the storage, and whether it has its texts. Scores
are noisy: which of several scores of the same attempt a row ends with is left open.
"""

import logging
from collections import defaultdict
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from rich.console import Console

from artimuse.configs.verify import VerifyConfig
from artimuse.io.folder import Folder
from artimuse.pipelines.backlog import ScoreBacklog, Unit
from artimuse.table.compaction import compact_shard
from artimuse.table.facts import read_table_facts
from artimuse.table.open import open_table
from artimuse.table.parts import PARTS, STAGED, write_rows
from artimuse.table.record import RUN_FILE
from artimuse.table.verify import run as verify
from tests.table.crashing import Crash, CrashingFolder
from tests.table.score_rows import begin_run, end_run, filesystem_of, score_rows, write_manifest

NUM_ROWS = 13
ROWS_PER_SHARD = 5
CODES = ("corrupt", "truncated")

logger = logging.getLogger("artimuse.table.parts")

shards = st.integers(0, 2)
outcomes = st.sampled_from([None, None, *CODES])
Version = tuple[int, bool]
"""The attempt, and whether it has texts: the greater is the later."""

steps_to_crash = st.one_of(st.just(1_000), st.integers(0, 12))


class LedgerMachine(RuleBasedStateMachine):
    """A driver with its workers, as far as the storage sees them."""

    @initialize()
    def begin(self) -> None:
        logger.disabled = True  # it tells of every torn part
        self.output = Folder.at(f"memory://{uuid4().hex}")
        begin_run(self.output, num_rows=NUM_ROWS, rows_per_shard=ROWS_PER_SHARD)
        write_manifest(self.output, num_rows=NUM_ROWS, rows_per_shard=ROWS_PER_SHARD)
        self.versions: dict[int, Version] = {}
        """The model."""
        self.written: dict[tuple[int, int], set[float | None]] = defaultdict(set)
        """(row, attempt) -> scores."""
        self.units: list[Unit] = []
        """What the driver at work has still to do."""
        self.given_up: list[Unit] = []
        """What drivers that were killed had begun: their workers may still write it."""
        self.num_scores = 0

    @rule(
        retry_failed=st.sampled_from([None, (), ("corrupt",)]),
        limit=st.one_of(st.none(), st.integers(1, 6)),
        rows_per_part=st.integers(1, 5),
        num_steps=steps_to_crash,
    )
    def start_a_driver(
        self, retry_failed: tuple[str, ...] | None, limit: int | None, rows_per_part: int, num_steps: int
    ) -> None:
        self.kill_the_driver()
        try:
            ledger = open_table(CrashingFolder.over(self.output, num_steps), RUN_FILE.read(self.output))
        except Crash:
            return
        backlog = ScoreBacklog(ledger, retry_failed=retry_failed, limit=limit)
        self.units = list(backlog.units(rows_per_part, NoCompaction()))
        assert sum(len(unit.offsets) for unit in self.units) == backlog.num_rows

    @rule()
    def kill_the_driver(self) -> None:
        self.given_up += self.units
        self.units = []

    @precondition(lambda self: self.units)
    @rule(data=st.data(), outcome=outcomes, has_texts=st.booleans())
    def write_a_unit_or_its_first_rows(self, data: st.DataObject, outcome: str | None, has_texts: bool) -> None:
        unit = self.units.pop(data.draw(st.integers(0, len(self.units) - 1)))
        num_rows = data.draw(st.integers(1, len(unit.offsets)))
        self.write(dict.fromkeys(self.rows_of(unit)[:num_rows], unit.attempt), outcome, has_texts=has_texts)
        if num_rows < len(unit.offsets):
            self.given_up.append(unit)

    @precondition(lambda self: self.given_up)
    @rule(data=st.data(), outcome=outcomes)
    def a_stray_worker_writes_in_another_grouping(self, data: st.DataObject, outcome: str | None) -> None:
        """Rows of one shard that were given up, of several units if it so happens."""
        shard = data.draw(st.sampled_from([unit.shard for unit in self.given_up]))
        candidates = [
            (row, unit.attempt) for unit in self.given_up if unit.shard == shard for row in self.rows_of(unit)
        ]
        chosen = dict(data.draw(st.lists(st.sampled_from(candidates), min_size=1)))
        for is_retry in (False, True):
            rows = {row: attempt for row, attempt in chosen.items() if (attempt > 1) == is_retry}
            if rows:
                self.write(rows, outcome)

    @precondition(lambda self: self.versions)
    @rule(data=st.data(), outcome=outcomes, has_texts=st.booleans())
    def rows_are_tried_again(self, data: st.DataObject, outcome: str | None, has_texts: bool) -> None:
        shard = data.draw(st.sampled_from([row // ROWS_PER_SHARD for row in self.versions]))
        candidates = [row for row in self.versions if row // ROWS_PER_SHARD == shard]
        rows = data.draw(st.lists(st.sampled_from(candidates), min_size=1, unique=True))
        self.write({row: self.versions[row][0] + 1 for row in rows}, outcome, has_texts=has_texts)

    @precondition(lambda self: self.good_rows_without_texts())
    @rule(data=st.data(), num_steps=st.one_of(st.none(), steps_to_crash))
    def texts_are_added_to_rows_of_the_table(self, data: st.DataObject, num_steps: int | None) -> None:
        """By a worker that has read them, whatever may be staged for the same rows meanwhile."""
        there = self.good_rows_without_texts()
        shard = data.draw(st.sampled_from(sorted({row // ROWS_PER_SHARD for row in there})))
        candidates = [row for row in there if row // ROWS_PER_SHARD == shard]
        rows = data.draw(st.lists(st.sampled_from(candidates), min_size=1, unique=True))
        described = [score_rows([row], score=there[row][1], attempt=there[row][0], text="fine") for row in rows]
        write_rows(self.output, pa.concat_tables(described), rows_per_shard=ROWS_PER_SHARD, replaces=True)
        for row in rows:
            self.versions[row] = max(self.versions[row], (there[row][0], True))
        if num_steps is not None:
            self.compact(shard, num_steps)

    def good_rows_without_texts(self) -> dict[int, tuple[int, float]]:
        """Row -> attempt and score, of the rows that a reader of the table finds."""
        found = {}
        for name in self.output.names(PARTS):
            try:
                part = self.read(f"{PARTS}/{name}")
            except (OSError, pa.ArrowException):
                continue
            for row in part.to_pylist():
                if row["score"] is not None and row["texts_truncated"] is None:
                    found[row["row_number"]] = row["attempt"], row["score"]
        return found

    @rule(shard=shards, num_steps=steps_to_crash)
    def a_shard_is_compacted(self, shard: int, num_steps: int) -> None:
        self.compact(shard, num_steps)

    def compact(self, shard: int, num_steps: int) -> None:
        size = min(ROWS_PER_SHARD, NUM_ROWS - shard * ROWS_PER_SHARD)
        is_complete = sum(row // ROWS_PER_SHARD == shard for row in self.versions) == size
        try:
            compact_shard(CrashingFolder.over(self.output, num_steps), shard, is_complete=is_complete)
        except Crash:
            self.kill_the_driver()

    @precondition(lambda self: self.versions)
    @rule(data=st.data(), share=st.floats(0, 0.99))
    def tear_a_part(self, data: st.DataObject, share: float) -> None:
        paths = [f"{folder}/{name}" for folder in (PARTS, STAGED) for name in self.output.names(folder)]
        if not paths:
            return
        path = data.draw(st.sampled_from(paths))
        whole = self.output.read(path)
        self.output.write(path, whole[: int(share * len(whole))])
        # The rows of the part are as they are elsewhere, or gone.
        self.versions = self.stored_versions()

    @invariant()
    def no_row_is_lost_at_any_moment(self) -> None:
        assert self.stored_versions() == self.versions

    def teardown(self) -> None:
        """To the end, without further mishaps."""
        if not hasattr(self, "output"):
            return
        for _ in range(2):  # a part that was torn while a driver was at work shows in the next one
            self.start_a_driver(None, None, 3, 1_000)
            for unit in self.units:
                self.write(dict.fromkeys(self.rows_of(unit), unit.attempt), None)
            for shard in range(3):
                compact_shard(self.output, shard, is_complete=True)
        logger.disabled = False
        self.check_the_table()
        filesystem_of(self.output).rm(self.output.root, recursive=True)

    def check_the_table(self) -> None:
        tables = [self.read(f"{PARTS}/{name}") for name in self.output.names(PARTS)]
        rows = pa.concat_tables(tables).sort_by("row_number").to_pylist()
        assert [row["row_number"] for row in rows] == list(range(NUM_ROWS))
        found = {row["row_number"]: (row["attempt"], row["texts_truncated"] is not None) for row in rows}
        assert found == self.versions
        for row in rows:
            assert row["score"] in self.written[row["row_number"], row["attempt"]]
        assert len(tables) == 3
        facts = read_table_facts(self.output)
        end_run(self.output, num_rows=NUM_ROWS, rows_per_shard=ROWS_PER_SHARD, errors=dict(facts.errors))
        report = verify(VerifyConfig(output=self.output.url()), Console(quiet=True))
        assert report.exit_status == 0, report

    def write(self, attempts: dict[int, int], code: str | None, *, has_texts: bool = False) -> None:
        """Rows of one shard that a worker has scored, and described if they have a score."""
        self.num_scores += 1
        score = None if code else float(self.num_scores)
        text = "fine" if has_texts and not code else None
        tables = [
            score_rows([row], score=score, code=code, attempt=attempt, text=text) for row, attempt in attempts.items()
        ]
        is_retry = max(attempts.values()) > 1
        write_rows(self.output, pa.concat_tables(tables), rows_per_shard=ROWS_PER_SHARD, replaces=is_retry)
        for row, attempt in attempts.items():
            self.written[row, attempt].add(score)
            self.versions[row] = max((attempt, text is not None), self.versions.get(row, (0, False)))

    def stored_versions(self) -> dict[int, Version]:
        """The latest version of each row that can be read anywhere."""
        latest: dict[int, Version] = {}
        for folder in (PARTS, STAGED):
            for name in self.output.names(folder):
                try:
                    part = self.read(f"{folder}/{name}")
                except (OSError, pa.ArrowException):
                    continue
                for row in part.to_pylist():
                    version = row["attempt"], row["texts_truncated"] is not None
                    latest[row["row_number"]] = max(version, latest.get(row["row_number"], (0, False)))
        return latest

    def read(self, path: str) -> pa.Table:
        with self.output.open(path) as file:
            return pq.read_table(file, columns=["row_number", "attempt", "score", "texts_truncated"])

    @staticmethod
    def rows_of(unit: Unit) -> list[int]:
        return [unit.shard * ROWS_PER_SHARD + int(offset) for offset in unit.offsets]


class NoCompaction:
    """Implements `backlog.ShardWatcher`; shards are compacted by a rule of their own."""

    def expect(self, shard: int, num_rows: int, *, is_complete: bool) -> None:
        pass


LedgerMachine.TestCase.settings = settings(
    max_examples=30, stateful_step_count=20, deadline=None, derandomize=True, print_blob=True
)
test_every_row_is_there_once_in_its_latest_version = LedgerMachine.TestCase
