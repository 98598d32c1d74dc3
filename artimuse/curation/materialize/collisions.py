"""Names of files that would meet on some disk, among any number of them, in bounded memory."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from artimuse.curation.materialize.names import NameRule, SafeName, fold

_MEMORY_LIMIT = "512MB"
_ROWS_AT_A_TIME = 65_536

# 64-bit hashes stand for the names: two names with one hash by accident cost one of them its plain name, no more.
_FIND_RENAMED = """
CREATE TABLE renamed AS
WITH repeated AS (SELECT name, min(number) AS first FROM names GROUP BY name HAVING count(*) > 1)
SELECT names.number FROM names JOIN repeated USING (name) WHERE names.number <> repeated.first
UNION
SELECT names.number FROM names SEMI JOIN folders USING (name)
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
        self._database.execute("CREATE TABLE folders (name BIGINT)")
        self._insert(names, rule)
        self._database.execute(_FIND_RENAMED)
        self._database.execute("DROP TABLE names")

    def among(self, first: int, num_entries: int) -> set[int]:
        """The numbers of those from `first` on that are to be renamed."""
        found = self._database.execute(
            "SELECT number FROM renamed WHERE number >= ? AND number < ?", [first, first + num_entries]
        )
        return {number for (number,) in found.fetchall()}

    def close(self) -> None:
        self._database.close()

    def _insert(self, names: Iterable[SafeName], rule: NameRule) -> None:
        hashes: list[int] = []
        folders: set[str] = set()
        first = 0
        for found in names:
            folded = fold(found.name, rule)
            hashes.append(_hash(folded))
            folder = fold(found.name.rpartition("/")[0], NameRule())
            while folder and folder not in folders:
                folders.add(folder)
                folder = folder.rpartition("/")[0]
            if len(hashes) == _ROWS_AT_A_TIME:
                self._store(first, hashes, folders)
                first += len(hashes)
                hashes, folders = [], set()
        self._store(first, hashes, folders)

    def _store(self, first: int, hashes: list[int], folders: set[str]) -> None:
        names_N: npt.NDArray[np.int64] = np.array(hashes, dtype=np.int64)
        rows = pa.table({"number": np.arange(first, first + len(names_N)), "name": names_N})
        self._database.from_arrow(rows).insert_into("names")
        found = pa.table({"name": pa.array(map(_hash, folders), pa.int64())})
        self._database.from_arrow(found).insert_into("folders")


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)
