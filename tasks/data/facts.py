"""The facts of a snapshot: a narrow table with keys, numbers and row flags of every row, and none of the texts.

Set checks, profile and split see facts alone, so that their time and memory don't depend on how long texts are.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from infra.digest import digest_of, short
from infra.store import Blob, Store
from tasks.contracts import Shard
from tasks.data.noted import note, noted
from tasks.data.shards import rows_of
from tasks.parts import PARQUET

FORM = 1  # of the files below: another one writes them anew
_PLAIN = (
    "id", "kind", "label", "tenant", "weight", "source", "builder", "annotator", "chosen_model", "rejected_model",
    "prompt_key", "chosen_key", "rejected_key",
)  # fmt: skip


def facts_of(shards: Sequence[Shard], features: Mapping[str, Sequence[Blob]], store: Store, kept: Path) -> list[Path]:
    """One Parquet file a shard: its rows' numbers (``row``), place in the shard, plain columns and features.

    A shard whose rows have the numbers of the night before is not written again.

    Args:
        features: for each feature, a file a shard; columns of ``personal`` are called ``has_…``.
    """
    written, first = [], 0
    for number, shard in enumerate(shards):
        found = {name: blobs[number] for name, blobs in features.items()}
        decides = [[name, blob.digest_] for name, blob in found.items()]
        key = digest_of([FORM, shard.rows.digest_, number, first, decides])
        path = kept / "parts" / "facts" / f"{short(key, 32)}.json"
        blob = noted(path, store)
        if blob is None:
            blob = _written(_facts(number, first, shard, found, store), store)
            note(path, blob)
        written.append(store.open_path(blob.digest_))
        first += shard.n_rows
    return written


def _facts(number: int, first: int, shard: Shard, features: Mapping[str, Blob], store: Store) -> pa.Table:
    plain = rows_of(shard, store, list(_PLAIN))
    columns = {name: plain[name] for name in _PLAIN}
    for name, blob in features.items():
        found = pq.read_table(store.open_path(blob.digest_))
        prefix = "has_" if name == "personal" else ""
        columns |= {f"{prefix}{column}": found[column] for column in found.column_names}
    return pa.table(
        {
            "row": pa.array(range(first, first + shard.n_rows), pa.int64()),
            "shard": pa.array([number] * shard.n_rows, pa.int32()),
            "place": pa.array(range(shard.n_rows), pa.int32()),
            **columns,
        }
    )


def _written(table: pa.Table, store: Store) -> Blob:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="lz4")
    return store.put_bytes(sink.getvalue().to_pybytes(), PARQUET)
