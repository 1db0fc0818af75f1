"""collect: read the recipe's sources into one immutable, content-addressed snapshot."""

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from infra.store import Store
from tasks.contracts import Snapshot
from tasks.data.readers import read_file, source_file, source_files
from tasks.data.rows import COLUMNS
from tasks.errors import SourceError

_BATCH = 4096


def make_snapshot(sources: tuple[str, ...], root: Path, store: Store) -> Snapshot:
    """Read every file of every source, in order, and store the rows as one Parquet file.

    Raises:
        SourceError: a source is missing or unreadable, or all of them together hold no row.
    """
    files, total = [], 0
    with tempfile.TemporaryDirectory() as folder:
        parquet = Path(folder) / "rows.parquet"
        with pq.ParquetWriter(parquet, COLUMNS, compression="zstd") as writer:
            for path in (file for source in sources for file in source_files(source, root)):
                count, batch = 0, []
                for row in read_file(path):
                    batch.append(row)
                    count += 1
                    if len(batch) == _BATCH:
                        writer.write_table(pa.Table.from_pylist(batch, COLUMNS))
                        batch = []
                if batch:
                    writer.write_table(pa.Table.from_pylist(batch, COLUMNS))
                files.append(source_file(path, count))
                total += count
        if total == 0:
            raise SourceError(f"the sources {list(sources)} hold no rows", do="check that the day's export ran")
        return Snapshot(
            rows=store.put_file(parquet, "application/vnd.apache.parquet"), n_rows=total, files=tuple(files)
        )
