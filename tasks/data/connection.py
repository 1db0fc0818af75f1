"""A DuckDB connection, as signatures call it."""

from typing import Any

# not duckdb.DuckDBPyConnection: where a signature still holds it when the process ends, nanobind tells of 39 leaks on
# the terminal (duckdb 2.0.0), behind the night's summary
Connection = Any
