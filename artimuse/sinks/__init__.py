"""Where score-table rows go, and the ledger of what is done. To add a sink: one file, and its name in `SINKS`."""

from collections.abc import Callable

from artimuse.interfaces import Sink
from artimuse.io.folder import Folder
from artimuse.sinks.parquet import ParquetSink

SINKS: dict[str, Callable[[Folder, int], Sink]] = {"parquet": ParquetSink}
