"""Opening the output of a run: what is done, after what an interrupted run has left is compacted."""

from artimuse.errors import BadOutput
from artimuse.io.folder import Folder
from artimuse.table.compaction import compact_shard
from artimuse.table.ledger import Ledger
from artimuse.table.parts import PARTS, STAGED, parts_by_shard
from artimuse.table.record import RUN_FILE, ScoreRecord, refuse_other_settings


def refuse_foreign_files(output: Folder) -> None:
    """Raises BadOutput if there are files in OUTPUT that no run of ours has made."""
    if RUN_FILE.read(output) is None:
        foreign = [name for name in output.names() if not name.startswith(".")] + output.names(PARTS)
        if foreign:
            raise BadOutput(f"{output.url()} has files of its own ({foreign[0]}); choose a new or empty OUTPUT")


def has_rows(output: Folder) -> bool:
    """False if nothing has been scored: then no setting is bound."""
    return bool(parts_by_shard(output) or parts_by_shard(output, STAGED))


def open_table(output: Folder, record: ScoreRecord) -> Ledger:
    """The ledger of the output; writes run.json for a new one, or one that has no row yet.

    Raises RunMismatch if rows of OUTPUT were made with other settings.
    """
    saved = RUN_FILE.read(output)
    if saved is None or not has_rows(output):
        RUN_FILE.write(output, record)
    else:
        refuse_other_settings(output, saved, record)
    ledger = Ledger(output, num_rows=record.plan.num_rows, rows_per_shard=record.plan.rows_per_shard)
    ledger.num_done()  # reads all shards, and so finds those with a row in two parts
    to_compact = ledger.staged_shards | ledger.overlapping_shards | ledger.fragmented_shards()
    for shard in sorted(to_compact):
        compact_shard(output, shard, is_complete=bool(ledger.done_rows(shard).all()))
    if to_compact:
        return Ledger(output, num_rows=record.plan.num_rows, rows_per_shard=record.plan.rows_per_shard)
    return ledger
