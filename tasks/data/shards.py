"""Shards: rows as Parquet files of the store."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.store import Store
from tasks.contracts import Shard
from tasks.data.rows import COLUMNS
from tasks.parts import PARQUET

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
    """A shard's rows, or some of their columns; its bytes are checked.

    Kept rows of an older revision lack what rows may have since then: there it is null.
    """
    file = pq.ParquetFile(store.open_path(shard.rows.digest_))
    known = set(file.schema_arrow.names)
    found = file.read(columns=None if columns is None else [name for name in columns if name in known])
    for name in columns or ():
        if name not in known:
            field = COLUMNS.field(name)
            assert field.nullable, f"{shard.rows.digest_} has no {name}"
            found = found.append_column(field, pa.nulls(found.num_rows, field.type))
    return found if columns is None else found.select(columns)


def taken(shard: Shard, store: Store, places: Places, columns: list[str]) -> pa.Table:
    """Some columns of some of a shard's rows, in the order of ``places``."""
    return rows_of(shard, store, columns).take(pa.array(places, pa.int64()))
