"""The row checks of one shard, in DuckDB: from file to file, with no table of it in memory."""

from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import ibis

from tasks.data.checks import row_flags

# of a shard's columns (``tasks.data.rows``), those that the checks read
COLUMNS = {
    "kind": "string", "label": "boolean", "roles": "string", "timestamp": "string", "error": "string",
    "prompt_text": "string", "chosen_text": "string", "rejected_text": "string",
    "chosen_key": "int64", "rejected_key": "int64",
}  # fmt: skip
CODE, LIBRARIES = ("tasks/data/checks.py",), ("duckdb", "ibis-framework")


def write(rows: Path, target: Path) -> None:
    """One boolean column a row check, ``at``: when the row was made, and the answers' lengths.

    Args:
        rows: a shard's file.
        target: the file that is written, with as many rows, in the same order.
    """
    # no connection of Ibis: it holds 20 MB of what other databases need
    with duckdb.connect(config={"threads": 1}) as connection:  # one shard a core
        read = connection.read_parquet(str(rows), file_row_number=True)
        read = read.project(f"{', '.join(COLUMNS)}, file_row_number AS place")
        found: Any = read.query("shard_rows", _query())  # None where a statement has no result
        found.write_parquet(str(target), compression="lz4")


@cache
def _query() -> str:
    """The checks, translated once a process."""
    flags = row_flags(ibis.table(COLUMNS | {"place": "int64"}, name="shard_rows"))
    return ibis.to_sql(flags.order_by("place").drop("place"), dialect="duckdb")
