"""The facts of a snapshot: a narrow table with keys, numbers and row flags of every row, and none of the texts.

Set checks, profile and split see facts alone, so that their time and memory don't depend on how long texts are.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from infra.store import Blob, Store
from tasks.contracts import Shard

_PLAIN = (
    "id", "kind", "label", "tenant", "weight", "source", "builder", "annotator", "chosen_model", "rejected_model",
    "prompt_key", "chosen_key", "rejected_key",
)  # fmt: skip


def write_facts(
    shards: Sequence[Shard], features: Mapping[str, Sequence[Blob]], store: Store, folder: Path
) -> list[Path]:
    """One Parquet file a shard: its rows' numbers (``row``), place in the shard, plain columns and features.

    Args:
        features: for each feature, a file a shard; columns of ``personal`` are called ``has_…``.
    """
    written, first = [], 0
    for number, shard in enumerate(shards):
        path = store.open_path(shard.rows.digest_)
        plain = pq.read_table(path, columns=list(_PLAIN))
        columns = {name: plain[name] for name in _PLAIN}
        for name, blobs in features.items():
            found = pq.read_table(store.open_path(blobs[number].digest_))
            prefix = "has_" if name == "personal" else ""
            columns |= {f"{prefix}{column}": found[column] for column in found.column_names}
        count = shard.n_rows
        table = pa.table(
            {
                "row": pa.array(range(first, first + count), pa.int64()),
                "shard": pa.array([number] * count, pa.int32()),
                "place": pa.array(range(count), pa.int32()),
                **columns,
            }
        )
        target = folder / f"facts-{number:06}.parquet"
        pq.write_table(table, target, compression="lz4")
        written.append(target)
        first += count
    return written
