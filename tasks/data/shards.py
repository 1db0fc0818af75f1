"""Shards: rows as Parquet files of the store."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.store import Store
from tasks.contracts import Shard

PARQUET = "application/vnd.apache.parquet"
Places = Sequence[int] | np.ndarray  # of rows in their shard


def write_rows(rows: pa.Table, path: Path) -> None:
    """A shard's file. Level 1: half the time of the default, for a tenth more bytes."""
    pq.write_table(rows, path, compression="zstd", compression_level=1)


def stored(rows: pa.Table, store: Store) -> Shard:
    """The rows as a shard."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        write_rows(rows, path)
        return Shard(rows=store.put_file(path, PARQUET), n_rows=rows.num_rows)


def rows_of(shard: Shard, store: Store, columns: list[str] | None = None) -> pa.Table:
    """A shard's rows, or some of their columns; its bytes are checked."""
    return pq.read_table(store.open_path(shard.rows.digest_), columns=columns)


def taken(shard: Shard, store: Store, places: Places, columns: list[str]) -> pa.Table:
    """Some columns of some of a shard's rows, in the order of ``places``."""
    return rows_of(shard, store, columns).take(pa.array(places, pa.int64()))
