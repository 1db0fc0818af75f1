"""Where a preference is from and where it went: from a row's id to its source object, and to every use of it."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from infra.digest import Digest, Record
from infra.errors import StoreError
from infra.store import Blob, Store
from tasks.contracts import Shard
from tasks.data.arrow import compute as pc
from tasks.data.batches import read_batches
from tasks.data.forget import of_records
from tasks.data.kinds.labels_paired import BUILDER
from tasks.parts import lines_of

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
        SourceError: a file of batches was edited.
    """
    files = sorted((kept / "batches").glob("*.json"))
    return tuple(shard for path in files for batch in read_batches(path) for shard in batch.shards)


def origins(shards: Iterable[Shard], ids: frozenset[str], tenant: str | None, store: Store) -> Iterator[Origin]:
    """Rows with one of these ids (of a record that made several: all of them), or of this tenant.

    Raises:
        StoreError: a shard was changed. One that is cleaned away is passed over: what it held is held no more.
    """
    for digest in dict.fromkeys(shard.rows.digest_ for shard in shards):
        if not store.has(digest):
            continue
        path = store.open_path(digest)
        hits = _hits(pq.read_table(path, columns=["id", "tenant", "builder", "raw"]), ids, tenant)
        if hits:
            rows = pq.read_table(path, columns=list(_ORIGIN)).take(pa.array(hits, pa.int64()))
            for row in rows.to_pylist():
                yield Origin(**row, shard=digest)


def _hits(rows: pa.Table, ids: frozenset[str], tenant: str | None) -> list[int]:
    hit = of_records(rows["id"], sorted(ids))
    if tenant is not None:
        hit = pc.or_(hit, pc.equal(rows["tenant"], tenant))
    found = {number for number, one in enumerate(hit.to_pylist()) if one}
    # a pair of two labels is of both their records
    paired = [number for number, one in enumerate(pc.equal(rows["builder"], BUILDER).to_pylist()) if one]
    found |= {number for number in paired if ids & set(json.loads(rows["raw"][number].as_py()).values())}
    return sorted(found)


def ids_in(lines: Blob, ids: frozenset[str], store: Store) -> frozenset[str]:
    """Which of these ids stand in JSON lines: pairs, labels, or two labels that a training takes as one unit."""
    needles = {json.dumps(one, ensure_ascii=False).encode(): one for one in ids}
    found = set()
    for line in lines_of(lines, store):
        if b'"labels": [' in line:
            found |= ids & {one["id"] for one in json.loads(line)["labels"]}
        elif (key := _id_of(line)) in needles:
            found.add(needles[key])
    return frozenset(found)


def _id_of(line: bytes) -> bytes:
    """The id as it is written: lines of pairs begin with it (``tasks.data.outputs``)."""
    start = b'{"id": '
    if not line.startswith(start):
        return json.dumps(json.loads(line).get("id"), ensure_ascii=False).encode()
    text = line.decode()
    _, end = json.JSONDecoder().raw_decode(text, len(start))
    return text[len(start) : end].encode()


def reasons_of(quarantine: Blob, ids: frozenset[str], store: Store) -> dict[str, list[str]]:
    """Why rows with these ids were in quarantine."""
    try:
        rows = (json.loads(line) for line in lines_of(quarantine, store))
        return {row["id"]: row["reasons"] for row in rows if row["id"] in ids}
    except StoreError:  # cleaned away with its night
        return {}
