"""`--attributes-where`: which rows of the score table a condition in DuckDB's SQL selects, each row by itself."""

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow.dataset import Dataset

from artimuse.errors import BadInput
from artimuse.table.expression import refuse_more_than_expression

EVERY_ROW = "true"
WITHOUT_TEXTS = "status = 'ok' AND texts_truncated IS NULL"
"""Rows that can get texts."""


class Condition:
    """A checked condition over the columns of the score table."""

    def __init__(self, sql: str, schema: pa.Schema, *, among: str = EVERY_ROW) -> None:
        """`sql` is the user's, `among` a condition of our own before it. It does not see columns of types that DuckDB
        lacks, such as 16-bit floats.

        Raises BadInput if the condition is no SQL for this schema, or looks at more than one row."""
        refuse_more_than_expression("--attributes-where", sql)
        self.sql = sql
        self.among = among
        # A condition selects rows; it reads no files and writes none.
        self._connection = duckdb.connect(config={"threads": 1, "enable_external_access": "false"})
        self.schema = pa.schema([field for field in schema if self._can_read(field)])
        try:
            self.select(self.schema.empty_table())
        except BadInput as error:
            raise BadInput(f"{error}; the columns are {', '.join(self.schema.names)}") from error

    def select(self, rows: pa.Table | Dataset) -> npt.NDArray[np.int64]:
        """The row numbers of the rows that fulfil it. The rows have the columns of `schema`, and maybe others.

        Raises BadInput if a value of theirs is none that the condition can take.
        """
        if isinstance(rows, pa.Table):
            rows = rows.select(self.schema.names)
        self._connection.register("rows", rows)
        try:
            found = self._connection.execute(self._query).fetchnumpy()["row_number"]
        except duckdb.Error as error:
            raise BadInput(f"--attributes-where {self.sql!r}: {str(error).splitlines()[0]}") from error
        finally:
            self._connection.unregister("rows")
        numbers: npt.NDArray[np.int64] = np.asarray(found, dtype=np.int64)
        return numbers

    @property
    def _query(self) -> str:
        # On lines of its own, so that a comment at its end hides nothing.
        return f"SELECT row_number FROM rows WHERE {self.among} AND (\n{self.sql}\n)"

    def _can_read(self, field: pa.Field) -> bool:
        try:
            self._connection.from_arrow(pa.schema([field]).empty_table()).fetchall()
        except duckdb.Error:
            return False
        return True
