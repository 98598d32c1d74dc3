"""Names of files that would meet on some disk, among any number of them, in bounded memory."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from artimuse.curation.materialize.names import NameRule, SafeName, fold, possible_files

_MEMORY_LIMIT = "512MB"
_ROWS_AT_A_TIME = 65_536

# 64-bit hashes stand for the names: two names with one hash by accident cost one of them its plain name, no more.
_FIND_RENAMED = """
CREATE TABLE renamed AS
WITH repeated AS (SELECT name, min(number) AS first FROM names GROUP BY name HAVING count(*) > 1)
SELECT names.number FROM names JOIN repeated USING (name) WHERE names.number <> repeated.first
UNION
SELECT files.number FROM files SEMI JOIN folders USING (name)
ORDER BY 1
"""


class Collisions:
    """Which entries cannot have their plain names: another one before them has it, or it is the name of a folder."""

    def __init__(self, names: Iterable[SafeName], rule: NameRule, scratch: Path) -> None:
        """`names` in the order of the entries. What does not fit in memory is in `scratch`."""
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": _MEMORY_LIMIT,
            "temp_directory": str(scratch / "spill"),
            "preserve_insertion_order": False,
            "threads": 2,
        }
        self._database = duckdb.connect(scratch / "names.duckdb", config=settings)
        self._database.execute("CREATE TABLE names (number BIGINT, name BIGINT)")
        self._database.execute("CREATE TABLE files (number BIGINT, name BIGINT)")
        self._database.execute("CREATE TABLE folders (name BIGINT)")
        self._insert(names, rule)
        self._database.execute(_FIND_RENAMED)
        self._database.execute("DROP TABLE names; DROP TABLE files; DROP TABLE folders")

    def among(self, first: int, num_entries: int) -> set[int]:
        """The numbers of those from `first` on that are to be renamed."""
        found = self._database.execute(
            "SELECT number FROM renamed WHERE number >= ? AND number < ?", [first, first + num_entries]
        )
        return {number for (number,) in found.fetchall()}

    def close(self) -> None:
        self._database.close()

    def _insert(self, names: Iterable[SafeName], rule: NameRule) -> None:
        waiting = _Waiting()
        for number, found in enumerate(names):
            waiting.add(number, found.name, rule)
            if len(waiting.names) == _ROWS_AT_A_TIME:
                self._store(waiting)
                waiting = _Waiting()
        self._store(waiting)

    def _store(self, waiting: "_Waiting") -> None:
        for table, rows in (("names", waiting.names), ("files", waiting.files)):
            rows_N2: npt.NDArray[np.int64] = np.array(rows, dtype=np.int64).reshape(-1, 2)
            found = pa.table({"number": rows_N2[:, 0], "name": rows_N2[:, 1]})
            self._database.from_arrow(found).insert_into(table)
        folders = pa.table({"name": pa.array(map(_hash, waiting.folders), pa.int64())})
        self._database.from_arrow(folders).insert_into("folders")


class _Waiting:
    """What is not in the database yet."""

    def __init__(self) -> None:
        self.names: list[tuple[int, int]] = []
        """Number and hash: what no other entry may have."""
        self.files: list[tuple[int, int]] = []
        """The same of what no folder may be called."""
        self.folders: set[str] = set()

    def add(self, number: int, name: str, rule: NameRule) -> None:
        self.names.append((number, _hash(fold(name, rule))))
        self.files += [(number, _hash(fold(file, NameRule()))) for file in possible_files(name, rule)]
        folder = fold(name.rpartition("/")[0], NameRule())
        while folder and folder not in self.folders:
            self.folders.add(folder)
            folder = folder.rpartition("/")[0]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)
