"""When preferences came, and how long texts are in tokens."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
from tokenizers import Tokenizer

from infra.store import Store
from tasks.contracts import Snapshot


def newest_arrival(snapshot: Snapshot, store: Store) -> datetime | None:
    """The latest ``timestamp`` of a readable row, as its source has it; None where no row has one.

    A time without a zone is read as UTC. What can't be read as a time was in quarantine, and is no arrival.
    """
    newest: datetime | None = None
    for shard in snapshot.shards:
        table = pq.read_table(store.open_path(shard.rows.digest_), columns=["timestamp", "error"])
        for row in table.to_pylist():
            moment = _moment(row["timestamp"]) if row["timestamp"] is not None and row["error"] is None else None
            if moment is not None and (newest is None or moment > newest):
                newest = moment
    return newest


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def token_counts(texts: Sequence[str], tokenizer: Path) -> list[int]:
    """Length of each text in tokens of a ``tokenizer.json``, without special tokens."""
    encoded = Tokenizer.from_file(str(tokenizer)).encode_batch_fast(list(texts), add_special_tokens=False)
    return [len(one.ids) for one in encoded]
