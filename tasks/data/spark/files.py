"""A night's files as Spark reads them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Part(NamedTuple):
    """One shard.

    Attributes:
        signatures: file of ``features.signatures``.
        rows: file of the rows themselves.
        first: number of its first row.
        n_rows: how many it has.
        is_new: whether its rows are to be compared; two rows of other shards are not.
    """

    signatures: Path
    rows: Path
    first: int
    n_rows: int
    is_new: bool


def read(spark: Any, paths: Sequence[Path]) -> Any:
    """A DataFrame of Parquet files, each once; executors see them under the same paths."""
    return spark.read.parquet(*dict.fromkeys(f"file://{path.resolve()}" for path in paths))


def numbered(spark: Any, files: Sequence[tuple[Path, int, bool]], *columns: str) -> Any:
    """Columns of files that don't know their rows' numbers: with ``row`` and ``is_new``.

    Args:
        files: path, number of the first row, whether they are new. A file of the store is named by its digest, so one
            that stands for two shards is read once and counts for both.
    """
    from pyspark.sql.functions import broadcast  # pyright: ignore[reportMissingImports]  an extra

    at = spark.createDataFrame(
        [(path.name, first, is_new) for path, first, is_new in files], "file string, first bigint, is_new boolean"
    )
    found = read(spark, [path for path, _, _ in files])
    found = found.selectExpr("_metadata.file_name AS file", "_metadata.row_index AS place", *columns)
    return found.join(broadcast(at), "file").selectExpr("first + place AS row", "is_new", *columns)
