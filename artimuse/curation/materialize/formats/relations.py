"""What is made of a whole selection in SQL, in bounded memory."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from artimuse.curation.materialize.formats.interface import Rows
from artimuse.curation.selection import Selection

_MEMORY_LIMIT = "1GB"
_ROWS_PER_GROUP = 8192


def made_of(selection: Selection, sql: str, scratch: Path) -> Rows:
    """The rows of a query on `selected`, the rows of the selection, as a Parquet file in `scratch`."""
    path = scratch / "rows.parquet"
    with connected(scratch) as database:
        selected = pa.RecordBatchReader.from_batches(selection.schema, selection.batches())
        database.register("selected", selected)
        rows = database.sql(sql).to_arrow_reader(_ROWS_PER_GROUP)
        num_rows = 0
        with pq.ParquetWriter(path, rows.schema) as writer:
            for batch in rows:
                writer.write_batch(batch, row_group_size=_ROWS_PER_GROUP)
                num_rows += batch.num_rows
        return Rows(str(path), rows.schema, num_rows)


@contextmanager
def connected(scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database of its own; what does not fit in memory is in `scratch`."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _MEMORY_LIMIT,
        "temp_directory": str(scratch / "spill"),
        "threads": 2,
    }
    with closing(duckdb.connect(config=settings)) as database:
        yield database
