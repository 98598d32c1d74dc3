"""The score table as Parquet parts in a folder, local or on an object store."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from artimuse.errors import BadOutput
from artimuse.interfaces import Receipt
from artimuse.sinks.ledger import PartsLedger
from artimuse.sinks.parts import PARTS, STAGED, store_part
from artimuse.sinks.run_file import read_run, refuse_mismatch
from artimuse.storage import Folder


class ParquetSink:
    """Implements `interfaces.Sink`. Small and picklable: write tasks get a copy each."""

    def __init__(self, output: Folder, rows_per_shard: int) -> None:
        self.output = output
        self.rows_per_shard = rows_per_shard

    def open(self, fingerprints: Mapping[str, Mapping[str, Any]]) -> PartsLedger:
        """Raises BadOutput without a run.json, RunMismatch if it has other fingerprints."""
        record = read_run(self.output)
        if record is None:
            raise BadOutput(f"{self.output.url()} has no run.json")
        refuse_mismatch(self.output, record["fingerprints"], fingerprints)
        return PartsLedger(self.output, num_rows=record["plan"]["num_rows"], rows_per_shard=self.rows_per_shard)

    def write(self, rows: pa.Table) -> Receipt:
        """Stores rows of one plan shard as one part.

        Rows of a later attempt are staged: they take their places when the shard is finished (`finish.py`).
        Raises ValueError if a row number comes twice.
        """
        shards = {int(number) // self.rows_per_shard for number in rows["row_number"].to_numpy()}
        if len(shards) > 1:
            raise ValueError("a part holds rows of one plan shard only")
        is_first = {attempt == 1 for attempt in rows["attempt"].to_pylist()}
        if len(is_first) > 1:
            raise ValueError("a part holds first attempts, or later ones")
        folder = PARTS if is_first != {False} else STAGED
        name, num_bytes = store_part(self.output, folder, min(shards, default=0), rows)
        return Receipt(part=name, num_rows=len(rows), num_bytes=num_bytes)
