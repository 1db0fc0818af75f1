"""The row checks of one shard, in DuckDB."""

import ibis
import pyarrow as pa

from tasks.data.checks import row_flags

COLUMNS = (
    "kind", "label", "roles", "timestamp", "error", "prompt_text", "chosen_text", "rejected_text",
    "chosen_key", "rejected_key",
)  # fmt: skip


def compute(rows: pa.Table) -> pa.Table:
    """One boolean column a row check, ``at``: when the row was made, and the answers' lengths."""
    table = rows.select(COLUMNS).append_column("place", pa.array(range(rows.num_rows), pa.int64()))
    connection = ibis.duckdb.connect()
    try:
        connection.con.execute("SET threads = 1")  # one shard a core
        connection.con.register("shard_rows", table)  # read where it lies
        return row_flags(connection.table("shard_rows")).order_by("place").to_pyarrow().drop_columns(["place"])
    finally:
        connection.disconnect()
