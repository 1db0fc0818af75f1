"""Where a preference is from and where it went: from a row's id to its source object, and to every use of it."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from infra.digest import Digest, Record
from infra.errors import StoreError
from infra.store import Blob, Store
from tasks.contracts import Shard
from tasks.data.arrow import compute as pc
from tasks.data.batches import Batch
from tasks.parts import lines_of

_BATCHES = TypeAdapter(tuple[Batch, ...])
_ORIGIN = (
    "id", "kind", "tenant", "builder", "source", "version", "line", "annotator", "citation", "timestamp", "error",
    "prompt_text", "chosen_text", "rejected_text",
)  # fmt: skip


class Origin(Record):
    """A row, and where it is from."""

    id: str
    kind: str
    tenant: str
    builder: str
    source: str
    version: str
    line: int
    annotator: str | None
    citation: str | None
    timestamp: str | None
    error: str | None
    prompt_text: str
    chosen_text: str
    rejected_text: str
    shard: Digest


def collected(kept: Path) -> tuple[Shard, ...]:
    """Shards of all that is collected now, of every source that a night read.

    Raises:
        ValueError: a file of batches was edited.
    """
    files = sorted((kept / "batches").glob("*.json"))
    return tuple(
        shard for path in files for batch in _BATCHES.validate_json(path.read_bytes()) for shard in batch.shards
    )


def origins(shards: Iterable[Shard], ids: frozenset[str], tenant: str | None, store: Store) -> Iterator[Origin]:
    """Rows with one of these ids (of a record that made several: all of them), or of this tenant.

    Raises:
        StoreError: a shard was changed. One that is cleaned away is passed over: what it held is held no more.
    """
    for digest in dict.fromkeys(shard.rows.digest_ for shard in shards):
        if not store.has(digest):
            continue
        path = store.open_path(digest)
        keys = pq.read_table(path, columns=["id", "tenant"])
        hits = _hits(keys, ids, tenant)
        if hits:
            rows = pq.read_table(path, columns=list(_ORIGIN)).take(pa.array(hits, pa.int64()))
            for row in rows.to_pylist():
                yield Origin(**row, shard=digest)


def _hits(keys: pa.Table, ids: frozenset[str], tenant: str | None) -> list[int]:
    whole = pc.split_pattern(keys["id"], "/", max_splits=1)
    stems = pc.list_element(whole, 0)
    wanted = pa.array(sorted(ids), pa.string())
    hit: Any = pc.or_(pc.is_in(keys["id"], wanted), pc.is_in(stems, wanted))
    if tenant is not None:
        hit = pc.or_(hit, pc.equal(keys["tenant"], tenant))
    return [number for number, one in enumerate(hit.to_pylist()) if one]


def ids_in(lines: Blob, ids: frozenset[str], store: Store) -> frozenset[str]:
    """Which of these ids stand in JSON lines (pairs that were trained on)."""
    needles = {json.dumps(one, ensure_ascii=False).encode(): one for one in ids}
    found = set()
    for line in lines_of(lines, store):
        key = _id_of(line)
        if key in needles:
            found.add(needles[key])
    return frozenset(found)


def _id_of(line: bytes) -> bytes:
    """The id as it is written: lines of pairs begin with it (``tasks.data.outputs``)."""
    start = b'{"id": '
    if not line.startswith(start):
        return json.dumps(json.loads(line).get("id"), ensure_ascii=False).encode()
    _, end = json.JSONDecoder().raw_decode(line.decode(), len(start))
    return line.decode()[len(start) : end].encode()


def reasons_of(quarantine: Blob, ids: frozenset[str], store: Store) -> dict[str, list[str]]:
    """Why rows with these ids were in quarantine."""
    try:
        rows = (json.loads(line) for line in lines_of(quarantine, store))
        return {row["id"]: row["reasons"] for row in rows if row["id"] in ids}
    except StoreError:  # cleaned away with its night
        return {}
