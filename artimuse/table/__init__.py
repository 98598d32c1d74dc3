"""The output of a scoring run, and everything that reads or writes it.

`plan.py` fixes which image is which row; `parts.py` stores rows; `ledger.py` says which rows are done, from the parts
alone; `compaction.py` makes the parts of a finished shard few; `verify.py` proves that every image has one row.
`open.py` opens the table of an earlier run, and `checked.py` reads its files with their checksums. `record.py` is
run.json, `schema.py` the columns, `condition.py` the SQL that selects rows, `facts.py` the counts.
"""
