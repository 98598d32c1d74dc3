"""The score table as Parquet parts in a folder, local or on an object store."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from artimuse.errors import BadOutput
from artimuse.interfaces import Receipt
from artimuse.io.folder import Folder
from artimuse.sinks.ledger import PartsLedger
from artimuse.sinks.parts import PARTS, STAGED, store_part_once
from artimuse.sinks.run_file import read_run, refuse_mismatch


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

    def write(self, rows: pa.Table, *, replaces: bool = False) -> Receipt:
        """Stores rows of one plan shard as one part, unless they are there in the same or a later version.

        Rows that replace others are staged: they take their places when the shard is finished (`finish.py`).
        Raises ValueError if a row number comes twice.
        """
        shards = np.unique(rows["row_number"].to_numpy() // self.rows_per_shard)
        if len(shards) > 1:
            raise ValueError("a part holds rows of one plan shard only")
        folder = STAGED if replaces else PARTS
        part, num_bytes = store_part_once(self.output, folder, int(shards[0]) if len(shards) else 0, rows)
        return Receipt(part=part, num_rows=len(rows), num_bytes=num_bytes)
